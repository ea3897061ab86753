"""How dag-sync tells what it does: one JSON line each."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any


def log(level: str, message: str, **fields: Any) -> None:
    """Write one JSON line."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "message": message, **fields}
    print(json.dumps(line), flush=True)
