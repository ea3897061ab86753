"""dag-sync within the test's own process, over a bucket in memory."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from dag_sync_fetch import Bucket
from dag_sync_syncer import Syncer
from dag_tree import Budget, Tree


def syncer(root: Path, store: Any, *, link: Path | None = None, budget: Budget | None = None, **more: Any) -> Syncer:
    """A started Syncer."""
    result = Syncer(Bucket(store, "dev"), Tree(root, link, budget), **more)
    result.start()
    return result


def action(sync: Syncer, package: str = "sales") -> str:
    return sync.packages[package].action


def reason(sync: Syncer, package: str = "sales") -> str:
    return sync.packages[package].reason


def look_again(sync: Syncer) -> None:
    """As if the pauses were over."""
    for package in sync.packages.values():
        package.retry_at = 0.0
        for refusal in package.refused.values():
            refusal.retry_at = None if refusal.retry_at is None else 0.0


def leftovers(root: Path) -> list[str]:
    """What is in the store, or where links are made, and belongs to no whole version."""
    found = [p for folder in (".store/tmp", ".links") for p in (root / folder).rglob("*")]
    found += [p for staging in root.glob(".store/packages/*/.staging") for p in staging.rglob("*")]
    return sorted(p.relative_to(root).as_posix() for p in found)


def snapshot(folder: Path, without: Path | None = None) -> dict[str, tuple[Any, ...]]:
    """Everything in a folder: kind, mode, contents."""
    result = {}
    for path in sorted(folder.rglob("*")):
        if without and (path == without or without in path.parents):
            continue
        info = path.lstat()
        kind = stat.S_IFMT(info.st_mode)
        data = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        result[path.relative_to(folder).as_posix()] = (kind, stat.S_IMODE(info.st_mode), data)
    return result


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
