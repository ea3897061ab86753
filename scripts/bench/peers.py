"""The programs that bring a bucket to a folder, as people use them for DAGs: dag-sync, and the others beside it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scripts.bench.rig import BIN, DAG_SYNC, ENVIRONMENT
from scripts.pinned import program


@dataclass(frozen=True)
class Peer:
    """A program.

    Args:
        name: in tables.
        command: what brings `s3://bucket/environment` to a folder.
        first: whether its first delivery differs from that of the others of its kind.
    """

    name: str
    command: Callable[[str, str, Path], list[str]]
    first: bool = True


def dag_sync(bucket: str, environment: str, folder: Path) -> list[str]:
    """One sync of ours, as an init container does it."""
    return [*DAG_SYNC, "--bucket", bucket, "--environment", environment, "--root", str(folder), "--one-time"]


OURS = Peer("dag-sync", dag_sync)


def _aws(*options: str) -> Callable[[str, str, Path], list[str]]:
    return lambda bucket, environment, folder: [
        str(BIN / "aws"), "s3", "sync", "--delete", "--only-show-errors", *options, f"s3://{bucket}/{environment}", str(folder)
    ]  # fmt: skip


def _rclone(*options: str) -> Callable[[str, str, Path], list[str]]:
    return lambda bucket, environment, folder: [
        "rclone", "sync", "--config", "/dev/null", *options, f"s3:{bucket}/{environment}", str(folder)
    ]  # fmt: skip


def _s5cmd(program: str) -> Callable[[str, str, Path], list[str]]:
    return lambda bucket, environment, folder: [
        program, "--log", "error", "sync", "--delete", f"s3://{bucket}/{environment}/*", f"{folder}/"
    ]  # fmt: skip


def find_s5cmd() -> str | None:
    """S5cmd on PATH, or as `make bench` installs it."""
    installed = program("s5cmd")
    return shutil.which("s5cmd") or (str(installed) if installed.exists() else None)


def tool_version(command: list[str]) -> str | None:
    """The number in a program's first line about its version, or None when it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except OSError:
        return None
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return found[0] if done.returncode == 0 and found else None


def available() -> tuple[list[Peer], dict[str, str], list[str]]:
    """Return the peers on this machine, their versions, and the names of those that are not here."""
    peers = [
        Peer("aws s3 sync", _aws()),
        Peer("aws s3 sync --size-only", _aws("--size-only"), first=False),
        Peer("aws s3 sync --exact-timestamps", _aws("--exact-timestamps"), first=False),
    ]
    versions, missing = {}, []
    s5cmd = find_s5cmd()
    version = tool_version([s5cmd, "version"]) if s5cmd else None
    if s5cmd and version:
        versions["s5cmd"] = version
        peers.append(Peer("s5cmd sync", _s5cmd(s5cmd)))
    else:
        missing.append("s5cmd")
    version = tool_version(["rclone", "version"])
    if version:
        versions["rclone"] = version
        peers.append(Peer("rclone sync", _rclone()))
        peers.append(Peer("rclone sync --checksum", _rclone("--checksum", "--fast-list"), first=False))
    else:
        missing.append("rclone")
    return peers, versions, missing


def sync(peer: Peer, bucket: str, folder: Path, environment: str = ENVIRONMENT) -> list[str]:
    """The command of one sync."""
    folder.mkdir(parents=True, exist_ok=True)
    return peer.command(bucket, environment, folder)
