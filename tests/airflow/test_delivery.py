"""On a real dag-processor: what is delivered is seen within seconds, and nothing that a package holds ends it.

`protocol-review`, section B, lists what ended or emptied it before.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import dag_protocol as protocol
from airflow_dag_publisher import publishing, restore, rollback
from airflow_dag_publisher.validate import collect
from dag_store import S3Store
from scripts.local.airflow import Airflow, Dag, stop
from scripts.local.packages import hand_make, publish, session
from scripts.local.s3_servers import S3Server
from scripts.local.waiting import PATIENCE, wait_for

ROOT = Path(__file__).parents[2]
DAG_SYNC = ROOT / "charts" / "airflow-platform" / "files" / "dag_sync.py"
pytestmark = pytest.mark.airflow


def dag(package: str, description: str = "", name: str = "report", before: str = "") -> bytes:
    """A DAG file; `description` is an expression, or the text itself."""
    expression = description if before else repr(description)
    return f"""
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
{before}
with DAG("{package}_{name}", description={expression}, tags=["t"], default_args={{"owner": "t"}}):
    EmptyOperator(task_id="one")
""".encode()


@dataclass
class Platform:
    """A bucket, dag-sync and a dag-processor that run all the while."""

    bucket: S3Store
    airflow: Airflow
    processor: subprocess.Popen[bytes]

    def publish(self, package: str, files: Mapping[str, bytes]) -> None:
        publish(self.bucket, files, package)

    def shows(self, dag_id: str, text: str) -> None:
        """Wait until the DAG shows `text`, in its row and serialized."""
        self.airflow.wait(lambda dags: dag_id in dags and dags[dag_id].shows(text), f"{dag_id} with {text!r}", PATIENCE)

    def get(self, dag_id: str) -> Dag:
        return self.airflow.dags_shown()[dag_id]


@pytest.fixture(scope="module")
def platform(moto: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("airflow")
    bucket = moto.bucket(f"t-{uuid.uuid4().hex[:20]}")
    airflow = Airflow(home, home / "dags")
    airflow.migrate()
    environment = {
        **moto.environment,
        "PATH": "/usr/bin:/bin",
        "DAG_SYNC_BUCKET": bucket.bucket,
        "DAG_SYNC_ENVIRONMENT": "dev",
    }
    with (home / "dag-sync.log").open("wb") as log:
        sync = subprocess.Popen(
            [sys.executable, DAG_SYNC, "--root", home / "dag-store", "--link", airflow.dags],
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_for(
            (airflow.dags / protocol.IGNORE_FILE).exists,
            what="dag-sync has begun: a pod's dag-processor waits for that too",
        )
        with airflow.running("dag-processor") as processor:
            yield Platform(bucket, airflow, processor)
    finally:
        stop(sync)


@pytest.fixture
def package() -> str:
    """A package of this test's own."""
    return f"p{uuid.uuid4().hex[:8]}"


def test_a_change_a_rollback_and_a_removal_are_seen(platform: Platform, package: str) -> None:
    platform.publish(package, {"report.py": dag(package, "first")})
    platform.shows(f"{package}_report", "first")
    platform.publish(package, {"report.py": dag(package, "other")})
    platform.shows(f"{package}_report", "other")
    rollback.rollback(session(platform.bucket, package))
    platform.shows(f"{package}_report", "first")
    publishing.remove(session(platform.bucket, package))
    platform.airflow.wait(lambda dags: dags[f"{package}_report"].stale, "the removed DAG is stale")
    restore.restore(session(platform.bucket, package))
    platform.shows(f"{package}_report", "first")


def test_a_change_of_a_helper_alone_is_seen(platform: Platform, package: str) -> None:
    """Airflow decides by the DAG file's own mtime: without a touch of every .py this took minutes."""
    main = dag(package, "TEXT", before=f"from {package}.dags.helpers.texts import TEXT")
    platform.publish(package, {"report.py": main, "helpers/texts.py": b"TEXT = 'one'"})
    platform.shows(f"{package}_report", "one")
    platform.publish(package, {"report.py": main, "helpers/texts.py": b"TEXT = 'two'"})
    platform.shows(f"{package}_report", "two")


def test_a_change_of_a_data_file_alone_is_seen(platform: Platform, package: str) -> None:
    main = dag(
        package, "TEXT", before="from pathlib import Path\nTEXT = (Path(__file__).parent / 'sql/q.sql').read_text()"
    )
    platform.publish(package, {"report.py": main, "sql/q.sql": b"select 1"})
    platform.shows(f"{package}_report", "select 1")
    platform.publish(package, {"report.py": main, "sql/q.sql": b"select 2"})
    platform.shows(f"{package}_report", "select 2")


def test_a_dag_keeps_the_path_of_its_link(platform: Platform, package: str) -> None:
    """Ids and sources must stay the same over versions; the store's path would change with each."""
    platform.publish(package, {"sub/report.py": dag(package, "here")})
    platform.shows(f"{package}_report", "here")
    assert platform.get(f"{package}_report").file == f"{package}/dags/sub/report.py"


HOSTILE = {
    "an ignore file with a bad range": {".airflowignore": b"[z-a]\n"},
    "an ignore file with a backslash at its end": {".airflowignore": b"a\\"},
    "an ignore file with a backslash before a comment": {".airflowignore": b"a\\ # b\n"},
    "an ignore file that brings hidden folders back": {".airflowignore": b"!.*/\n"},
    "an ignore file that is not UTF-8": {".airflowignore": b"caf\xe9\n"},
    "an encrypted zip under another name": {"book.xlsx": b"PK\x03\x04" + b"\0" * 30 + b"PK\x05\x06" + b"\0" * 18},
    "a file that does not compile": {"broken.py": b"from airflow.sdk import DAG\ndef f(:\n"},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_ends_the_dag_processor_is_never_shown_to_it(platform: Platform, package: str, what: str) -> None:
    """A publisher that checks nothing: the package's version before is served on, and everybody else's."""
    platform.publish(package, {"report.py": dag(package, "good")})
    platform.shows(f"{package}_report", "good")
    hand_make(platform.bucket, {"report.py": dag(package, "bad"), **HOSTILE[what]}, package)
    other = f"{package}x"
    platform.publish(other, {"report.py": dag(other, "neighbour")})
    platform.shows(f"{other}_report", "neighbour")
    assert platform.processor.poll() is None, "the dag-processor ended"
    assert platform.get(f"{package}_report").shows("good")


def test_a_missing_ignore_file_is_put_back(platform: Platform, package: str) -> None:
    """Without it Airflow walks the store, finds a folder twice, and ends: here it is kept from looking meanwhile."""
    ignore_file = platform.airflow.dags / protocol.IGNORE_FILE
    os.killpg(platform.processor.pid, signal.SIGSTOP)
    try:
        ignore_file.unlink()
        wait_for(ignore_file.exists, what="the ignore file is back")
    finally:
        os.killpg(platform.processor.pid, signal.SIGCONT)
    platform.publish(package, {"report.py": dag(package, "after")})
    platform.shows(f"{package}_report", "after")
    assert platform.processor.poll() is None


RUNS_A_SCRIPT = """
from pathlib import Path
from airflow.sdk import DAG
from airflow.providers.standard.operators.bash import BashOperator

script = Path(__file__).parent / "bin" / "run.sh"
with DAG("{package}_report", tags=["t"], default_args={{"owner": "t"}}):
    BashOperator(task_id="run", bash_command=f"{{script}} {seen} ")
"""


def test_a_task_runs_a_script_of_its_package(platform: Platform, package: str, tmp_path: Path) -> None:
    """git keeps the bit; without it a task that ran ends with 126 when it moves to S3."""
    seen = tmp_path / "seen"
    files = {
        "report.py": RUNS_A_SCRIPT.format(package=package, seen=seen).encode(),
        "bin/run.sh": b'#!/bin/sh\nstat -L -c %a "$0" > "$1"\n',
    }
    publish(platform.bucket, files, package, executable={"bin/run.sh"})
    platform.airflow.wait(lambda dags: f"{package}_report" in dags, "the DAG is there", PATIENCE)
    done = platform.airflow.run("dags", "test", f"{package}_report")
    assert seen.exists() and seen.read_text() == "755\n", done.stdout[-2000:] + done.stderr[-2000:]


def test_the_examples_are_seen_without_import_errors(platform: Platform) -> None:
    found = {}
    for folder in sorted(dags.parent for dags in (ROOT / "examples").glob("*/dags")):
        files = {path: file.read_bytes() for path, file in collect(dags_dir=folder / "dags").items()}
        platform.publish(folder.name, files)
        found[folder.name] = sum(b"airflow.sdk" in data for data in files.values())
    platform.airflow.wait(
        lambda dags: all(sum(d.dag_id.startswith(f"{name}_") and not d.stale for d in dags.values()) >= 2 for name in found),
        "both examples", 60,
    )  # fmt: skip
    assert not platform.airflow.import_errors()


def test_a_bad_ignore_file_does_end_a_dag_processor_that_sees_it(tmp_path: Path) -> None:
    """The control: the tests above would pass for ever if Airflow took it."""
    airflow = Airflow(tmp_path, tmp_path / "dags")
    airflow.migrate()
    (tmp_path / "dags" / "a").mkdir()
    (tmp_path / "dags" / "a" / protocol.IGNORE_FILE).write_bytes(b"[z-a]\n")
    with airflow.running("dag-processor") as processor:
        assert processor.wait(PATIENCE) != 0
