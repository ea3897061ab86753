from __future__ import annotations

import pytest

from scripts.local.memory_store import Memory


@pytest.fixture
def memory() -> Memory:
    """A bucket in memory, with the environment's marker."""
    return Memory()
