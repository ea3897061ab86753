"""The author's files: the options that name them, what is published of them, and the commit that it is from."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import click

import dag_protocol as protocol
from dag_protocol import ProtocolError

from .errors import Exit, Failure
from .publishing import Wanted
from .validate import collect

KNOWS_EXECUTABLE = os.name != "nt"  # Windows has no such bit: there it stays as it is in the live version
CI_COMMITS = ("GITHUB_SHA", "CI_COMMIT_SHA", "BUILD_SOURCEVERSION", "BITBUCKET_COMMIT", "GIT_COMMIT")


def file_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that name the author's files."""
    for option in reversed([
        click.option("--dags-dir", type=click.Path(path_type=Path), help="Folder that is the package: everything below it."),
        click.option("--dag-file", "dag_files", multiple=True, type=click.Path(path_type=Path), help="A single DAG file; again for more."),
    ]):  # fmt: skip
        command = option(command)
    return command


def collected(dag_files: tuple[Path, ...], dags_dir: Path | None) -> dict[str, Path]:
    """The files that the options name, by their path in the package. Raises click.UsageError, Failure."""
    if not dag_files and dags_dir is None:
        raise click.UsageError("name the files: --dags-dir FOLDER, or --dag-file FILE")
    try:
        files = collect(dag_files, dags_dir)
    except (OSError, ValueError) as error:
        raise Failure(str(error), Exit.USAGE) from None
    if not files:
        raise Failure(f"there is no file in {dags_dir}", Exit.USAGE)
    if dags_dir and (dags_dir / "dags").is_dir():
        raise Failure(f"{dags_dir} has a folder dags in it: name that one, --dags-dir {dags_dir / 'dags'}", Exit.USAGE)
    return files


def wanted(files: Mapping[str, Path]) -> dict[str, Wanted]:
    """Describe local files as they shall be in the bucket. Raises ProtocolError for what delivery cannot take."""
    result = {}
    protocol.check_paths(files)
    for path, file in files.items():
        try:
            status = file.stat()
            protocol.check_sizes({path: status.st_size})
            data = file.read_bytes()
        except OSError as error:
            raise ProtocolError(f"{file} cannot be read: {error.strerror}") from None
        protocol.check_content(path, data)
        runs = bool(status.st_mode & stat.S_IXUSR) if KNOWS_EXECUTABLE else None
        result[path] = Wanted(protocol.sha256(data), len(data), partial(file.read_bytes), runs)
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
