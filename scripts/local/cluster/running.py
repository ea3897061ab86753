"""A control plane with seven Pis in a process of its own, for as long as somebody uses it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.local.cluster.cluster import READY, Cluster, Failed
from scripts.pinned import ROOT


@dataclass(frozen=True)
class Start:
    """A control plane with seven Pis that comes up, in a process that ends with this one."""

    process: subprocess.Popen[str]
    log: Path

    @classmethod
    def begin(cls, log: Path) -> Start:
        """Does not wait."""
        with log.open("wb") as stderr:
            return cls(
                subprocess.Popen(
                    [sys.executable, "-m", "scripts.local.cluster"], cwd=ROOT,
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True,
                ),
                log,
            )  # fmt: skip

    def wait(self) -> Cluster:
        """Until it is up. Raises Failed."""
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith(READY):
                return Cluster(Path(line.removeprefix(READY).strip()))
        raise Failed(f"the cluster did not start: {self.log.read_text()}")

    def check(self) -> None:
        """Raises Failed where it is not up any more."""
        if self.process.poll() is not None:
            raise Failed(f"the cluster ended by itself: {self.log.read_text()}")

    def end(self) -> None:
        """And wait for it."""
        assert self.process.stdin
        self.process.stdin.close()
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.process.kill()  # its parts die with it
            self.process.wait()


@contextmanager
def our_own(log: Path, start: Start | None = None) -> Iterator[Cluster]:
    """A control plane of ours, `start` if it is on its way already."""
    start = start or Start.begin(log)
    try:
        yield start.wait()
        start.check()
    finally:
        start.end()
