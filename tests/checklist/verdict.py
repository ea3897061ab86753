"""What an item is when it is not ok: pytest's own failed and skipped, with a sentence for the operator."""

from __future__ import annotations

import pytest


class Wrong(pytest.fail.Exception):  # type: ignore[name-defined,misc]  # its decorator hides it from mypy
    """An item is not as it should be; the text says what, where, and the way out."""

    def __init__(self, says: str) -> None:
        super().__init__(says, pytrace=False)


class Open(pytest.skip.Exception):  # type: ignore[name-defined,misc]
    """An item was not checked; the text says why, and what would check it."""
