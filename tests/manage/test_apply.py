"""What follows `terraform apply`: the bucket's store is tried, and an interruption ends Terraform in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.local.s3_servers import S3Server
from scripts.local.waiting import wait_for
from scripts.pinned import ROOT

MODULES = (".", "charts/airflow-platform/files", "packages/airflow_dag_publisher/src")
TERRAFORM = f"""#!{sys.executable}
import json, os, signal, sys, time
from pathlib import Path
if sys.argv[2] == "output":
    print(os.environ["OUTPUTS"])
elif "until-told" in sys.argv:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(Path("ended").write_text("in order") and 1))
    Path("started").touch()
    while True:
        time.sleep(0.01)
else:
    sys.exit(int(sys.argv[3]))
"""


@dataclass
class Apply:
    """scripts.manage.apply with a stand-in for Terraform that ends with the code that it is given."""

    folder: Path
    outputs: dict[str, str]
    server: S3Server

    def start(self, word: str) -> subprocess.Popen[str]:
        env = {
            **os.environ, **self.server.environment, "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(str(ROOT / module) for module in MODULES),
            "OUTPUTS": json.dumps({name: {"value": value} for name, value in self.outputs.items()}),
        }  # fmt: skip
        command = [sys.executable, "-m", "scripts.manage.apply", "dev", str(self.folder), word]
        return subprocess.Popen(command, env=env, cwd=self.folder, stderr=subprocess.PIPE, text=True)

    def __call__(self, code: int) -> tuple[int, str]:
        process = self.start(str(code))
        said = process.communicate()[1]
        return process.returncode, said


@pytest.fixture
def bucket(moto: S3Server, new_bucket: Any) -> Any:
    return new_bucket(moto)


@pytest.fixture
def apply(tmp_path: Path, moto: S3Server, bucket: Any) -> Apply:
    (tmp_path / "terraform").write_text(TERRAFORM)
    (tmp_path / "terraform").chmod(0o755)
    return Apply(tmp_path, {"bucket": bucket.bucket, "region": "us-east-1"}, moto)


def versions(bucket: Any) -> list[str]:
    """Keys of all versions and delete markers."""
    answer = bucket.client.list_object_versions(Bucket=bucket.bucket)
    return [row["Key"] for name in ("Versions", "DeleteMarkers") for row in answer.get(name, [])]


def test_a_fit_store_is_no_word_and_nothing_is_left_in_it(apply, bucket):
    before = versions(bucket)
    assert apply(0) == (0, "")
    assert versions(bucket) == before


def test_a_store_that_would_lose_versions_is_named(apply, bucket):
    apply.outputs["bucket"] = f"{bucket.bucket}-plain"
    bucket.client.create_bucket(Bucket=apply.outputs["bucket"])
    code, said = apply(0)
    assert code == 1
    assert said.startswith(
        "manage.sh: dev is applied, but its store would lose versions: it does not keep versions: bucket "
    )
    assert said.endswith("docs/reference/stores.md says what each part is for.\n")
    assert not bucket.client.list_objects_v2(Bucket=apply.outputs["bucket"])["KeyCount"]


def test_a_store_that_cannot_be_asked_fails_no_apply(apply):
    apply.outputs["bucket"] = "not-there"
    code, said = apply(0)
    assert code == 0
    assert said.startswith("manage.sh: dev is applied; whether its store can be published to was not found out: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("outputs", [{}, {"region": "us-east-1"}])
def test_what_was_applied_in_part_is_not_tried(apply, outputs):
    apply.outputs = outputs
    assert apply(0) == (0, "")


def test_a_failed_apply_keeps_its_exit_code_and_the_store_is_not_tried(apply):
    apply.outputs["bucket"] = "not-there"
    assert apply(3) == (3, "")


def test_an_interruption_reaches_terraform_and_is_waited_for(apply):
    process = apply.start("until-told")
    wait_for((apply.folder / "started").exists, what="the stand-in for Terraform")
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert (process.returncode, (apply.folder / "ended").read_text()) == (1, "in order")
