"""The terminal: standard output and error, tables, the bar of a long upload."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

PROGRESS_FROM_BYTES = 1024 * 1024
CELL = 200  # one longer cell would push the others out of the line
WIDE = 400  # no table may cut a version in a log file or a pipe


def visible(text: str) -> str:
    """Text as a terminal may show it. What a bucket or a file name says may hold escape sequences, or halves of characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


class Terminal(Console):
    """Shows text, and obeys none of it."""

    def print(self, *objects: Any, **options: Any) -> None:
        """See rich."""
        super().print(*(visible(one) if isinstance(one, str) else one for one in objects), **options)


class Rows(Table):
    """A table of text that is shown and not obeyed."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """See rich."""
        super().add_row(*(visible(cell[:CELL]) if isinstance(cell, str) else cell for cell in cells), **options)


out = Terminal(highlight=False, markup=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = Terminal(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def table_of(*columns: str) -> Rows:
    """A table without lines, whose numbers stand right."""
    table = Rows(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True, justify="right" if column in ("bytes", "files") else "left")
    return table


@contextmanager
def progress_bar(total: int) -> Iterator[Callable[[str, int], None]]:
    """A bar for long uploads on a terminal; silent in CI's logs."""
    if total < PROGRESS_FROM_BYTES or not err.is_terminal:
        yield lambda _path, _size: None
        return
    with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=err, transient=True) as bar:
        task = bar.add_task("sending", total=total)
        yield lambda path, size: bar.update(task, advance=size, description=path[-40:])
