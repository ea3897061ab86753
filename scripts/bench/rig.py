"""The S3 server, the packages in it, and how a command is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from airflow_dag_publisher import publishing
from dag_package import Session
from dag_store import S3Store
from scripts.local import s3_servers
from scripts.local.packages import wanted
from scripts.local.s3_servers import KEYS, S3Server
from scripts.pinned import ROOT

FILES = ROOT / "charts" / "airflow-platform" / "files"
BIN = Path(sys.executable).parent
DAG_SYNC = [sys.executable, str(FILES / "dag_sync.py")]
LAUNCH = Path(__file__).with_name("launch.py")
ENVIRONMENT = "dev"
BUCKET = "bench"


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for the length of a `with`."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield Path(folder)


@contextmanager
def server(folder: Path) -> Iterator[S3Server]:
    """A versitygw that keeps connections open, as S3 does; without that each GET would pay for a connection."""
    before = os.environ.get("VGW_KEEP_ALIVE")
    os.environ["VGW_KEEP_ALIVE"] = "true"
    try:
        with s3_servers.running("versitygw", folder) as running:
            yield running
    finally:
        del os.environ["VGW_KEEP_ALIVE"]
        if before is not None:
            os.environ["VGW_KEEP_ALIVE"] = before


def publish(store: S3Store, package: str, files: Mapping[str, bytes], environment: str = ENVIRONMENT) -> str:
    """Publish as the tool does, without its checks of the DAGs. Return the version."""
    session = Session(store, environment, package, publisher="bench")
    return publishing.make_live(session, lambda _: wanted(files)).manifest.version


def small_files(count: int, text: str = "") -> dict[str, bytes]:
    """Python files of about 1.4 KB."""
    body = "\n".join(f'SETTING_{line} = "a value of some length, as DAG files have them"' for line in range(20))
    return {f"file_{n:04d}.py": f'"""File {n}. {text}"""\n\n{body}\n'.encode() for n in range(count)}


@dataclass(frozen=True)
class Run:
    """What a command took."""

    status: int | None  # None: still running at its time limit
    wall: float
    cpu: float  # with children
    rss_mib: float  # peak, the largest of it and its children
    output: str = ""


def variables(endpoint: str) -> dict[str, str]:
    """The environment of every program that is measured: nothing of the caller's but PATH."""
    return {
        "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": tempfile.gettempdir(), "PYTHONPATH": f"{ROOT}:{FILES}", **KEYS,
        "AWS_REGION": KEYS["AWS_DEFAULT_REGION"], "AWS_ENDPOINT_URL": endpoint, "AWS_EC2_METADATA_DISABLED": "true",
        "RCLONE_CONFIG_S3_TYPE": "s3", "RCLONE_CONFIG_S3_PROVIDER": "Other", "RCLONE_CONFIG_S3_ENV_AUTH": "true",
        "RCLONE_CONFIG_S3_ENDPOINT": endpoint, "S3_ENDPOINT_URL": endpoint,
    }  # fmt: skip


def measured(command: list[str], endpoint: str, limit: float = 600) -> Run:
    """Run a command to its end, or kill it after `limit` seconds.

    A tiny interpreter starts it: the peak memory that the kernel tells would else begin with this process's own.
    """
    with tempfile.NamedTemporaryFile("r") as result:
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCH), result.name, *command], env=variables(endpoint),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.communicate()
            return Run(None, time.monotonic() - started, 0, 0)
        figures = json.load(result)
    return Run(figures["status"], figures["wall"], figures["cpu"], figures["rss_mib"], output)
