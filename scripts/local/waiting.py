"""Waiting for a thing that other threads or processes bring about, and for how long at most."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE = 120.0  # seconds, for a busy machine: a test goes on as soon as the thing appears, this is only the limit


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE, what: str = "", every: float = 0.005) -> Any:
    """Ask every few milliseconds until `condition` is true, and return what it said. Raises TimeoutError that says `what`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(every)
    raise TimeoutError(f"not within {seconds:g} s: {what or condition}")
