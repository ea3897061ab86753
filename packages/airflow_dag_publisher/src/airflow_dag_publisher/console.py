"""The terminal: standard output and error, tables, the bar of a long upload."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

PROGRESS_FROM_BYTES = 1024 * 1024
WIDE = 400  # no table may cut a version in a log file or a pipe
out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def table_of(*columns: str) -> Table:
    """A table without lines, whose numbers stand right."""
    table = Table(box=None, header_style="bold", pad_edge=False)
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
