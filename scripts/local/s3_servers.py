"""Two real S3 servers on loopback: moto, and versitygw where it was built (`make tools`)."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

import dag_protocol as protocol
from dag_store import S3Store, client_config
from scripts.local.ports import free_port
from scripts.pinned import program

KEYS = {
    "AWS_ACCESS_KEY_ID": "administrator",
    "AWS_SECRET_ACCESS_KEY": "of-the-tests",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass
class S3Server:
    """A running server."""

    name: str
    endpoint: str
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that point any AWS tool at it."""
        return {**KEYS, "AWS_ENDPOINT_URL": self.endpoint, "AWS_EC2_METADATA_DISABLED": "true"}

    def client(self) -> Any:
        """A boto3 client."""
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name=KEYS["AWS_DEFAULT_REGION"], config=client_config(),
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"], aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip

    def bucket(self, name: str, environment: str = "dev") -> S3Store:
        """Make a versioned bucket with the environment's marker, as Terraform does."""
        client = self.client()
        client.create_bucket(Bucket=name)
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        client.put_object(
            Bucket=name, Key=protocol.marker_key(environment), Body=b'{"schema": 1, "environment": "dev"}'
        )
        return S3Store(name, client=client)


@contextmanager
def running(name: str, folder: Path, host: str = "127.0.0.1") -> Iterator[S3Server]:
    """Start `moto` or `versitygw` with its data and log in `folder`. `host`: the address to listen on."""
    port = free_port(host)
    if name == "moto":
        command = [sys.executable, "-m", "moto.server", "-H", host, "-p", str(port)]
    else:
        (folder / "data").mkdir(parents=True)
        (folder / "versions").mkdir()
        command = [
            str(program("versitygw")), "--port", f"{in_url(host)}:{port}", "--access", KEYS["AWS_ACCESS_KEY_ID"], "--quiet",
            "--secret", KEYS["AWS_SECRET_ACCESS_KEY"], "posix", "--versioning-dir", str(folder / "versions"), str(folder / "data"),
        ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(host, port, process)
        yield S3Server(name, f"http://{in_url(host)}:{port}", process)
    finally:
        process.kill()
        process.wait()


def in_url(host: str) -> str:
    """An address as a URL has it."""
    return f"[{host}]" if ":" in host else host


def _wait(host: str, port: int, process: subprocess.Popen[bytes], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the S3 server ended with {process.returncode}")
        try:
            with socket.create_connection((host, port), timeout=1) as found:
                if (
                    found.getsockname() != found.getpeername()
                ):  # the kernel may give us that very port: TCP's self-connect
                    return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError("the S3 server did not come up")
