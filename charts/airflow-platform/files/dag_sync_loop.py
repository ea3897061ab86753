"""The running process: polls each period, touches, prunes, verifies, answers requests."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

from dag_sync_lanes import SLOW_SECONDS
from dag_sync_log import log
from dag_sync_requests import Requests, result_of
from dag_sync_syncer import Syncer

PERIOD = 1.0  # seconds; with Airflow's refresh_interval of 1 a change is visible within 5 s, docs/latency-and-cost.md
PATIENCE = 1.0  # seconds that a pass waits for the packages' turns before the next one looks for others
VERIFY_PERIOD = 3600.0


class Loop:
    """The running process: polls each period, touches, prunes, verifies, answers requests.

    Args:
        syncer: what does the work.
        requests: of other processes.
        period: seconds between the starts of two polls.
        max_failures: failed polls in a row after which it ends with 1; negative: never.
    """

    def __init__(self, syncer: Syncer, requests: Requests, period: float, max_failures: int) -> None:
        self.syncer = syncer
        self.requests = requests
        self.period = period
        self.max_failures = max_failures
        self._wake = threading.Event()
        self._beat = time.monotonic()
        self._damaged: list[tuple[str, str]] = []

    @property
    def turning(self) -> bool:
        """Whether the loop is alive. A dead bucket is no reason to restart a pod: it slows the loop, never stops it."""
        return time.monotonic() - self._beat < SLOW_SECONDS[1] * 5 + self.period

    def hurry(self, *_: Any) -> None:
        """Sync now (SIGHUP)."""
        self._wake.set()

    def run(self) -> None:
        """Turn until killed, or until more polls failed in a row than `max_failures`."""
        threading.Thread(target=self._verify_now_and_then, name="verify", daemon=True).start()
        while True:
            started = self._beat = time.monotonic()
            asked = self._wake.is_set()
            self._wake.clear()
            waiting = self.requests.waiting()
            if asked or waiting:
                self.syncer.verify()
            damaged, self._damaged = self._damaged, []
            self.syncer.mend(damaged)
            self.syncer.poll(SLOW_SECONDS[1] if waiting else PATIENCE)
            self._keep_house(waiting)
            if 0 <= self.max_failures < self.syncer.failures:
                log("error", "too many failed polls in a row", failures=self.syncer.failures)
                return
            self._rest(started + self.period)

    def _keep_house(self, waiting: list[Path]) -> None:
        """What may wait: on a full disk it is tried again at the next turn."""
        try:
            self.syncer.prune()
            if waiting:
                self.requests.answer(waiting, result_of(self.syncer))
        except OSError as error:
            log("error", f"the disk failed: {error}")

    def _rest(self, until: float) -> None:
        while True:
            self.syncer.touch()
            touch = self.syncer.next_touch()
            now = time.monotonic()
            if now >= until or self._wake.wait(max(0.0, min(until, touch or until) - now)):
                return

    def _verify_now_and_then(self) -> None:
        while True:
            time.sleep(VERIFY_PERIOD * random.uniform(0.9, 1.1))  # noqa: S311
            try:
                self._damaged = self.syncer.damaged()
            except OSError as error:
                log("error", f"the disk failed: {error}")
