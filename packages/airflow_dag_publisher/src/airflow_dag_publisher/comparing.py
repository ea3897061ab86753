"""What differs: two versions, the author's files and the live version, or the bucket and the live version (drift)."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import dag_package
import dag_protocol as protocol
from dag_package import Session
from dag_protocol import Content, File

Read = Callable[[str], bytes]


@dataclass
class Difference:
    """Files by what happened to them."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)  # their bytes
    executable: list[str] = field(default_factory=list)  # can be run now
    not_executable: list[str] = field(default_factory=list)  # cannot be run any more
    removed: list[str] = field(default_factory=list)


@dataclass
class Drift:
    """How the current objects differ from the live version, which is what is served."""

    edited: list[str] = field(default_factory=list)  # by hand, not adopted yet
    refused: Mapping[str, str] = field(default_factory=dict)  # edits that can never be adopted, and why
    deleted: list[str] = field(default_factory=list)  # by hand; still served
    leftover: list[str] = field(default_factory=list)  # of a publish that never became live; never served
    damage: str = ""  # of pointer or manifest


def compare(before: Mapping[str, Content], after: Mapping[str, Content]) -> Difference:
    """Compare two sets of files."""
    both = after.keys() & before.keys()
    return Difference(
        added=sorted(after.keys() - before.keys()),
        changed=sorted(p for p in both if after[p].sha256 != before[p].sha256),
        executable=sorted(p for p in both if after[p].executable > before[p].executable),
        not_executable=sorted(p for p in both if after[p].executable < before[p].executable),
        removed=sorted(before.keys() - after.keys()),
    )


def drift(session: Session) -> Drift:
    """Compare the current objects of a package with its live version."""
    live = dag_package.read_live(session)
    found = dag_package.survey(session, live, thorough=False)
    return Drift(sorted(found.edits), found.refused, list(found.deleted), sorted(found.orphans), live.damage)


def contents(files: Mapping[str, File]) -> dict[str, Content]:
    """What a reader sees, by path."""
    return {path: file.content for path, file in files.items()}


def reader(session: Session, files: Mapping[str, File]) -> Read:
    """A function that reads the bytes of a version's files; a file it does not have is empty."""

    def read(path: str) -> bytes:
        file = files.get(path)
        if file is None:
            return b""
        return session.store.get(session.prefix + path, protocol.max_bytes(path), file.version_id)[0]

    return read


def local_reader(files: Mapping[str, Path]) -> Read:
    """A function that reads the author's files; a file that is not there is empty."""
    return lambda path: files[path].read_bytes() if path in files else b""


def patch(difference: Difference, before: Read, after: Read, names: tuple[str, str]) -> str:
    """The difference as a unified diff; files that are no text are named."""
    parts = []
    for path in sorted([*difference.added, *difference.changed, *difference.removed]):
        try:
            old, new = (read(path).decode().splitlines(keepends=True) for read in (before, after))
        except UnicodeDecodeError:
            parts.append(f"Binary file {path} differs\n")
            continue
        for line in difflib.unified_diff(old, new, f"{path} ({names[0]})", f"{path} ({names[1]})"):
            parts.append(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n")
    return "".join(parts)
