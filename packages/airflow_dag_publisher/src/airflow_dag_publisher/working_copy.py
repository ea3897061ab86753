"""The author's files: what is published, and the commit that it is from."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import dag_protocol as protocol
from dag_protocol import ProtocolError

from .publishing import Wanted

CI_COMMITS = ("GITHUB_SHA", "CI_COMMIT_SHA", "BUILD_SOURCEVERSION", "BITBUCKET_COMMIT", "GIT_COMMIT")


def wanted(files: Mapping[str, Path]) -> dict[str, Wanted]:
    """Describe local files as they shall be in the bucket. Raises ProtocolError for what delivery cannot take."""
    result = {}
    protocol.check_paths(files)
    for path, file in files.items():
        try:
            size = file.stat().st_size
            protocol.check_sizes({path: size})
            data = file.read_bytes()
        except OSError as error:
            raise ProtocolError(f"{file} cannot be read: {error.strerror}") from None
        protocol.check_content(path, data)
        result[path] = Wanted(protocol.sha256(data), len(data), partial(file.read_bytes))
    return result


def source_commit(folder: Path) -> str:
    """The commit that `folder` is at, as CI's variables or git tell it; empty if neither does."""
    for name in CI_COMMITS:
        if os.environ.get(name):
            return os.environ[name]
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
