"""Files as such: what ends Airflow's walk whatever package it is in, and whether there is a DAG to be parsed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import dag_protocol as protocol

from ..validate import Code, Finding
from ..validate.files import Refused, dag_candidates, from_protocol, mentions_dags, read_file, too_big


def check_contents(files: Mapping[str, Path]) -> Iterator[Finding]:
    """Yield what is wrong with files, whether or not an ignore file leaves them out."""
    for path, file in sorted(files.items()):
        try:
            if protocol.is_ignore_file(path):
                read_file(path, file)
            else:
                yield from _check_other(path, file)
        except OSError as error:
            yield Finding(path, 1, Code.UNREADABLE, f"cannot be read: {error.strerror or error}")
        except Refused as refused:
            yield refused.finding


def _check_other(path: str, file: Path) -> Iterator[Finding]:
    if file.stat().st_size > protocol.max_bytes(path):  # what git-sync delivers has no limit
        yield replace(too_big(path), severity="warning")
    try:
        protocol.check_zip(path, file)
    except protocol.ProtocolError as error:
        yield from_protocol(path, Code.ZIP_ARCHIVE, error)


def find_dag_files(files: Mapping[str, Path]) -> set[str]:
    """Return those that Airflow parses. `files` are all in the DAGs folder, by their path in it."""
    return dag_candidates({path: data for path, file in files.items() if (data := _read(path, file)) is not None})


def _read(path: str, file: Path) -> bytes | None:
    """What decides whether a file is parsed. Of one that is over its limit, that is its beginning."""
    try:
        if protocol.is_ignore_file(path):
            return read_file(path, file)
        if path.lower().endswith(".py"):
            with file.open("rb") as stream:
                data = stream.read(protocol.MAX_PYTHON_BYTES)
            return data if mentions_dags(data) else None  # thousands need not be held
    except (OSError, Refused):
        pass
    return None
