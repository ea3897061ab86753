"""A real dag-sync in a process of its own, and what it serves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.local.s3_servers import KEYS
from scripts.local.waiting import PATIENCE, wait_for
from scripts.pinned import ROOT

DAG_SYNC = ROOT / "charts/airflow-platform/files/dag_sync.py"


class Process:
    """A real dag-sync on a folder of its own."""

    def __init__(self, folder: Path, endpoint: str, bucket: str, *flags: str, umask: int = -1, **variables: str):
        self.root = folder / "dags"
        self.log = folder / f"log-{len(list(folder.glob('log-*')))}"
        env = {
            "PATH": os.environ["PATH"], **KEYS, "AWS_ENDPOINT_URL": endpoint, "DAG_SYNC_BUCKET": bucket,
            "DAG_SYNC_ENVIRONMENT": "dev", "DAG_SYNC_ROOT": str(self.root), "DAG_SYNC_INTERVAL": "0.1",
            "AWS_EC2_METADATA_DISABLED": "true", **variables,
        }  # fmt: skip
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(DAG_SYNC), *flags], env=env, stdout=log, stderr=subprocess.STDOUT, umask=umask
            )

    @property
    def text(self) -> str:
        return self.log.read_text()

    def ended(self, seconds: float = PATIENCE) -> int:
        return self.process.wait(seconds)

    def wait(self, condition: Callable[[], Any], what: str = "") -> Any:
        def check() -> Any:
            assert self.process.poll() is None, f"dag-sync ended with {self.process.returncode}:\n{self.text}"
            return condition()

        try:
            return wait_for(check, PATIENCE, what)
        except TimeoutError as error:
            raise TimeoutError(f"{error}\n{self.text}") from None

    def serves(self, package: str = "sales") -> dict[str, bytes] | None:
        return served(self.root, package)

    def wait_until_served(self, files: dict[str, bytes] | None, package: str = "sales") -> None:
        self.wait(lambda: self.serves(package) == files, f"{package} serves {files}")

    def signal(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def get(self, port: int, path: str) -> tuple[int, str]:
        return get(port, path)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def served(root: Path, package: str = "sales") -> dict[str, bytes] | None:
    """Contents below `<root>/<package>/dags`, or None."""
    dags = root / package / "dags"
    try:
        dags = dags.resolve(strict=True)
    except FileNotFoundError:
        return None
    return {p.relative_to(dags).as_posix(): p.read_bytes() for p in sorted(dags.rglob("*")) if p.is_file()}


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""
