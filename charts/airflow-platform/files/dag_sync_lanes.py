"""Whose turn it is: quick packages side by side, slow ones one after another, so that nobody waits for a neighbour.

A package begins in the quick lane, where it has two seconds. What it does not finish there it does in the slow lane, and
stays in that for a while: publishing something heavy each second costs the others two seconds once, not each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Condition, Lock

from dag_contents import Limits

QUICK_LANES = 2
QUICK_SECONDS = 2.0
# Of a turn in the slow lane, at first and at most. Then the next package has its turn, and this one the next time twice
# as long; what was fetched stays.
SLOW_SECONDS = (10.0, 60.0)
SLOW_FOR = 300.0  # seconds that a package keeps to the slow lane
SLOW_NICENESS = 10


@dataclass(frozen=True)
class Turn:
    """What a package may use in one turn."""

    deadline: float  # monotonic
    slow: bool

    def limits(self, tries: int) -> Limits:
        """For the check of one version that was tried so many times: each time it gets twice as long, if there is time."""
        left = max(1.0, self.deadline - time.monotonic())
        if not self.slow:
            return Limits(int(QUICK_SECONDS), left)
        return Limits(min(10 * 2 ** min(tries, 10), int(SLOW_SECONDS[1])), left, SLOW_NICENESS)


class Lanes:
    """Does turns in threads.

    Args:
        work: does one turn of the package of that name; returns whether it must go on in the slow lane. A turn in the
            slow lane returns False.
    """

    def __init__(self, work: Callable[[str, Turn], bool]) -> None:
        self._work = work
        self._quick = ThreadPoolExecutor(QUICK_LANES, "quick")
        self._slow = ThreadPoolExecutor(1, "slow")
        self._slow_until: dict[str, float] = {}
        self._late: dict[str, int] = {}
        self._busy: set[str] = set()
        self._change = Condition(Lock())
        self._fatal: BaseException | None = None

    def busy(self, package: str) -> bool:
        """Whether it has a turn, or waits for one."""
        return package in self._busy

    def start(self, package: str) -> None:
        """Give a package a turn, as soon as there is room for one."""
        with self._change:
            self._busy.add(package)
        slow = self._slow_until.get(package, 0.0) > time.monotonic()
        (self._slow if slow else self._quick).submit(self._turn, package, slow)

    def _seconds(self, package: str, slow: bool) -> float:
        if not slow:
            self._late.pop(package, None)
            return QUICK_SECONDS
        self._late[package] = self._late.get(package, -1) + 1
        seconds: float = min(SLOW_SECONDS[1], SLOW_SECONDS[0] * 2 ** min(self._late[package], 10))
        return seconds

    def wait(self, seconds: float | None) -> None:
        """Wait until nobody has a turn, `seconds` at most; None: however long it takes. What ended a turn is raised here."""
        with self._change:
            self._change.wait_for(lambda: not self._busy, seconds)
        if self._fatal:
            raise self._fatal

    def _turn(self, package: str, slow: bool) -> None:
        goes_on = False
        try:
            goes_on = self._work(package, Turn(time.monotonic() + self._seconds(package, slow), slow))
        except BaseException as error:
            self._fatal = error
        if goes_on:
            self._slow_until[package] = time.monotonic() + SLOW_FOR
            self._slow.submit(self._turn, package, True)
            return
        with self._change:
            self._busy.discard(package)
            self._change.notify_all()
