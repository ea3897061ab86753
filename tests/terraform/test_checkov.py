"""Checkov finds nothing in the Terraform that is neither mended nor explained beside the code."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.pinned import ROOT, program

CHECKOV = program("checkov")
SKIP = re.compile(r"#\s*checkov:skip=\s*(?P<checks>[\w,-]*):?(?P<reason>.*)")
WORDS = 4  # fewer are no reason

pytestmark = [
    pytest.mark.exhaustive("terraform"),
    pytest.mark.skipif(not CHECKOV.exists(), reason="checkov is not installed in the cache (make tools)"),
]


@dataclass(frozen=True)
class Comment:
    """One check that a comment switches off."""

    file: str
    line: int
    check: str
    reason: str

    def explains(self, failure: dict[str, Any]) -> bool:
        """Whether it stands in the block that fails. Checkov takes one in the caller's module block too; we do not."""
        first, last = failure["file_line_range"]
        return (self.file, self.check) == (failure["file_path"], failure["check_id"]) and first < self.line < last


def comments(folder: Path) -> list[Comment]:
    """The checks that comments below a folder switch off."""
    return [
        Comment(f"/{file.relative_to(folder)}", number, check, found["reason"].strip())
        for file in sorted(folder.rglob("*.tf"))
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if (found := SKIP.search(line))
        for check in found["checks"].split(",")
    ]


def scan(folder: Path, home: Path, **env: str) -> dict[str, Any]:
    """What checkov says of a folder, without a network and without anybody's settings."""
    done = subprocess.run(
        [
            CHECKOV,
            "--directory",
            folder,
            "--framework",
            "terraform",
            "--skip-download",
            "--compact",
            "--output",
            "json",
        ],
        cwd=home,
        env={"HOME": str(home), "PATH": os.environ["PATH"], "CKV_SKIP_PACKAGE_UPDATE_CHECK": "true", **env},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert "results" in report, f"{folder} has nothing to check: {report}"
    return report


def switched_on(folder: Path, to: Path) -> Path:
    """A folder with every check switched on."""
    shutil.copytree(folder, to)
    for file in to.rglob("*.tf"):
        file.write_text(file.read_text().replace("checkov:skip=", "checkov-skip="))
    return to


def needless(folder: Path, report: dict[str, Any]) -> list[str]:
    """The comments that switch off a check which would not fail, from a report of the same with every check on."""
    failures = report["results"]["failed_checks"]
    return [
        f"{comment.file[1:]}:{comment.line} {comment.check}"
        for comment in comments(folder)
        if not any(comment.explains(failure) for failure in failures)
    ]


def unexplained(folder: Path) -> list[str]:
    """The comments that do not say why."""
    return [f"{c.file[1:]}:{c.line} {c.check}" for c in comments(folder) if len(c.reason.split()) < WORDS]


def failed(report: dict[str, Any]) -> list[str]:
    """The findings, as a person wants to read them."""
    return sorted({
        f"{f['file_path'][1:]}:{f['file_line_range'][0]} {f['check_id']} {f['resource']}: {f['check_name']}"
        for f in report["results"]["failed_checks"]
    })  # fmt: skip


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """terraform/ as it is, but for what init put there."""
    to = tmp_path_factory.mktemp("checkov") / "terraform"
    return Path(shutil.copytree(ROOT / "terraform", to, ignore=shutil.ignore_patterns(".terraform")))


def test_every_finding_is_mended_or_explained(terraform: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as network:
        proxy = f"http://127.0.0.1:{network.getsockname()[1]}"
        report = scan(terraform, tmp_path, HTTPS_PROXY=proxy, HTTP_PROXY=proxy)
        network.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody called
            network.accept()
    assert not failed(report), "\n".join(["mend it, or explain it beside the code:", *failed(report)])
    assert not report["results"]["parsing_errors"], "checkov could not read these, so it did not look at them"
    assert report["summary"]["passed"] > 0


def test_every_comment_says_why_and_is_needed(terraform: Path, tmp_path: Path) -> None:
    silent = unexplained(terraform)
    assert not silent, "\n".join([f"write at least {WORDS} words after the second colon:", *silent])
    assert not list(terraform.rglob(".checkov.y*ml")), "a check is switched off beside the code, not in a file"
    idle = needless(terraform, scan(switched_on(terraform, tmp_path / "all"), tmp_path))
    assert not idle, "\n".join(["these checks pass without their comment:", *idle])


def test_it_notices_a_public_bucket_and_comments_that_are_no_use(tmp_path: Path) -> None:
    module = tmp_path / "bad" / "modules" / "bucket"
    module.mkdir(parents=True)
    (module / "main.tf").write_text(
        """resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:nobody reads what they would say
  #checkov:skip=CKV_AWS_144,CKV_AWS_145:because
  #checkov:skip=CKV_AWS_19:it passes anyway and always did
  bucket = "x"
}

resource "aws_s3_bucket_acl" "this" {
  bucket = aws_s3_bucket.this.id
  acl    = "public-read"
}
"""
    )
    root = tmp_path / "bad" / "root"
    root.mkdir()
    (root / "main.tf").write_text(
        """# checkov:skip=CKV2_AWS_62:outside of any block it does nothing
module "bucket" {
  source = "../modules/bucket"
  #checkov:skip=CKV2_AWS_61:it stands with the caller, far from what it explains
}
"""
    )
    folder = tmp_path / "bad"
    found = {line.split()[1] for line in failed(scan(folder, tmp_path))}
    assert {"CKV_AWS_20", "CKV2_AWS_6", "CKV2_AWS_62"} <= found  # public by its ACL, no block of public access
    assert not {"CKV_AWS_18", "CKV_AWS_144", "CKV_AWS_145", "CKV2_AWS_61"} & found
    assert unexplained(folder) == ["modules/bucket/main.tf:3 CKV_AWS_144", "modules/bucket/main.tf:3 CKV_AWS_145"]
    assert needless(folder, scan(switched_on(folder, tmp_path / "all"), tmp_path)) == [
        "modules/bucket/main.tf:4 CKV_AWS_19",
        "root/main.tf:1 CKV2_AWS_62",
        "root/main.tf:4 CKV2_AWS_61",
    ]
