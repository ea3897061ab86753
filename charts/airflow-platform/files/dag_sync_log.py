"""How dag-sync tells what it does: one JSON line each, with nothing in it that is long or that a terminal obeys."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

MAX_TEXT = 400


def brief(told: object) -> str:
    """A text of a document or of a library, cut: whoever wrote it must not fill a log or a memory."""
    text = str(told)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def log(level: str, message: str, **fields: Any) -> None:
    """Write one JSON line. JSON escapes what is not ASCII."""
    shown = {name: brief(value) if isinstance(value, str) else value for name, value in fields.items()}
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    print(json.dumps({"time": time, "level": level, "message": brief(message), **shown}), flush=True)
