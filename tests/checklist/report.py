"""The table that the operator reads."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table
from rich.text import Text

COLOURS = {"ok": "green", "FAILED": "bold red", "open": "yellow"}
PIPED = 10_000  # columns: each item is one line
ITEM = 26  # columns of a terminal


@dataclass(frozen=True)
class Row:
    """An item.

    Args:
        state: `ok`, `FAILED` or `open`.
        item: as the checklist words it.
        seen: the evidence, or what is wrong or missing, and the way out.
    """

    state: str
    item: str
    seen: str


def show(heading: str, rows: Sequence[Row]) -> None:
    """Print the table between a heading and a line of sums; into a pipe with one line for each item."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    console = Console(highlight=False, markup=False, width=PIPED if piped else None)
    table = Table(box=None, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("state")
    table.add_column("item", width=None if piped else ITEM)
    table.add_column("seen, or what to do", overflow="fold")
    for number, row in enumerate(said_once(rows), 1):
        table.add_row(str(number), Text(row.state, COLOURS[row.state]), row.item, row.seen)
    with console.capture() as captured:
        console.print(heading, table, sep="\n")
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))
    sums = Counter(row.state for row in rows)
    print(", ".join(f"{sums[state]} {state}" for state in COLOURS if sums[state]))


def said_once(rows: Sequence[Row]) -> list[Row]:
    """The same rows; what an earlier one says word for word is not said again."""
    first: dict[str, int] = {}
    return [
        replace(row, seen=f"as item {first[row.seen]}") if first.setdefault(row.seen, number) != number else row
        for number, row in enumerate(rows, 1)
    ]
