from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from airflow_dag_publisher import cli
from dag_store import S3Store
from scripts.local.s3_servers import S3Server


@dataclass
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def failed(self, code: int, *words: str) -> None:
        """Assert that it ended with `code` and one sentence on standard error that has all the words."""
        assert self.code == code, f"{self.code}: {self.out}{self.err}"
        lines = [line for line in self.err.splitlines() if not line.startswith("WARNING")]
        assert len(lines) == 1 and lines[0].startswith("airflow-dag-publisher: "), self.err
        assert "Traceback" not in self.err
        for word in words:
            assert word in lines[0], lines[0]


Command = Callable[..., Done]


@pytest.fixture
def point_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Makes the commands work on a server and a bucket."""

    def point(environment: dict[str, str], bucket: str) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "GITHUB_SHA", "CI_COMMIT_SHA"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {**environment, "AIRFLOW_PLATFORM_BUCKET": bucket, "AIRFLOW_PLATFORM_ENV": "dev"}.items():
            monkeypatch.setenv(name, value)

    return point


@pytest.fixture
def command(
    point_at: Callable[..., None], moto: S3Server, bucket: S3Store, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> Command:
    """Runs `airflow-dag-publisher` on a fresh bucket, in this process."""
    point_at(moto.environment, bucket.bucket)

    def run(*words: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["airflow-dag-publisher", *words])
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # a new process has no remembered credentials
        capfd.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return Done(code, *capfd.readouterr())

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes an author's folder."""

    def write(files: dict[str, str], name: str = "dags") -> Path:
        for path, text in files.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path / name

    return write
