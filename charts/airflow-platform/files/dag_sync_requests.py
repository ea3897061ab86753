"""One process per root: its lock, and how another process asks it to sync now."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dag_sync_syncer import Syncer
from dag_tree import STORE


class Requests:
    """How a second process asks the running one to sync now: a file with a number, answered by a file beside it."""

    def __init__(self, root: Path) -> None:
        self.folder = root / STORE / "requests"
        self.lock = root / STORE / "lock"

    def own(self) -> Any | None:
        """Take the root for this process. Return the open lock, or None if another process has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.lock.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        for left in self.folder.glob("*.answer"):
            left.unlink(missing_ok=True)
        return file

    def waiting(self) -> list[Path]:
        """Requests that have no answer yet."""
        return list(self.folder.glob("*.request"))

    def answer(self, requests: Iterable[Path], result: dict[str, Any]) -> None:
        """Tell those who asked."""
        for request in requests:
            temporary = request.with_suffix(".writing")
            temporary.write_text(json.dumps(result))
            temporary.rename(request.with_suffix(".answer"))
            request.unlink(missing_ok=True)

    def ask(self, timeout: float) -> tuple[dict[str, Any] | None, Any | None]:
        """Ask the running process for a sync and wait. Return its answer, or the lock if it ended instead, or neither."""
        request = self.folder / f"{os.getpid()}-{time.time_ns()}.request"
        request.touch()
        answer = request.with_suffix(".answer")
        deadline = time.monotonic() + timeout
        with contextlib.suppress(OSError, ValueError):  # of another user or namespace: it looks each period anyway
            os.kill(int(self.lock.read_text()), signal.SIGHUP)
        while time.monotonic() < deadline:
            try:
                result: dict[str, Any] = json.loads(answer.read_bytes())
            except FileNotFoundError:
                if lock := self.own():
                    request.unlink(missing_ok=True)
                    return None, lock
                time.sleep(0.02)
                continue
            answer.unlink(missing_ok=True)
            return result, None
        request.unlink(missing_ok=True)
        return None, None


def result_of(syncer: Syncer) -> dict[str, Any]:
    """What a sync did: the answer to a request, and what `--one-time` tells."""
    packages = sorted(syncer.packages.values(), key=lambda p: p.name)
    rows = [{"package": p.name, "action": p.action, "version": p.version, "reason": p.reason} for p in packages]
    return {"good": syncer.failures == 0, "packages": rows}
