from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.local.memory_store import Memory
from tests.helpers.dag_sync import Process


@pytest.fixture
def dag_sync(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Starts real dag-syncs, and ends them with the test."""
    started: list[Process] = []

    def start(endpoint: str, bucket: str, *flags: str, **more: Any) -> Process:
        started.append(Process(tmp_path, endpoint, bucket, *flags, **more))
        return started[-1]

    yield start
    for process in started:
        process.stop()


@pytest.fixture
def memory() -> Memory:
    return Memory()
