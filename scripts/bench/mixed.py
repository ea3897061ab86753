"""How often a reader of three files sees two versions of a package while it is flipped every 10 ms."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from dag_sync_fetch import Bucket
from dag_sync_syncer import Syncer
from dag_tree import Tree
from scripts.bench import rig

FILES = ("one.py", "two.py", "three.py")
PACKAGE = "sales"
PERIOD = 0.01


def run(quick: bool = False) -> dict[str, Any]:
    """Read and flip."""
    reads = 500 if quick else 100_000
    with rig.scratch() as folder, rig.server(folder / "s3") as server:
        store, tree = server.bucket(rig.BUCKET), Tree(folder / "dags")
        syncer = Syncer(Bucket(store, rig.ENVIRONMENT), tree)
        syncer.start()
        versions = []
        for text in (b"V = 1\n", b"V = 2\n"):
            rig.publish(store, PACKAGE, dict.fromkeys(FILES, text))
            syncer.poll()
            serving = tree.serving(PACKAGE)
            assert serving
            versions.append(serving)
        rows = [_row("by path, at once", reads, tree, versions, _by_path),
                _row("by path, 1 ms between the files", reads // 100, tree, versions, _by_path_slowly),
                _row("link resolved once", reads, tree, versions, _resolved)]  # fmt: skip
    resolved = rows[-1]["mixed"]
    return {"period_ms": PERIOD * 1000, "files": len(FILES), "rows": rows, "targets": [
        {"what": f"mixed reads of {reads:,}, link resolved once", "measured": resolved, "at_most": 0, "met": resolved == 0}
    ]}  # fmt: skip


def _row(name: str, reads: int, tree: Tree, versions: list[Path], read: Callable[[Path], set[bytes]]) -> dict[str, Any]:
    context = multiprocessing.get_context("fork")
    stop, flips = context.Event(), context.Value("i", 0)
    flipper = context.Process(target=_flip, args=(tree, versions, stop, flips))
    flipper.start()
    try:
        link, started = tree.link / PACKAGE, time.monotonic()
        mixed = sum(len(read(link)) > 1 for _ in range(reads))
        seconds = time.monotonic() - started
    finally:
        stop.set()
        flipper.join()
    return {"reader": name, "reads": reads, "mixed": mixed, "flips": flips.value, "seconds": round(seconds, 1)}


def _flip(tree: Tree, versions: list[Path], stop: Event, flips: Any) -> None:
    while not stop.wait(PERIOD):
        tree.flip(PACKAGE, versions[flips.value % 2])
        flips.value += 1


def _by_path(link: Path) -> set[bytes]:
    return {(link / "dags" / name).read_bytes() for name in FILES}


def _by_path_slowly(link: Path) -> set[bytes]:
    seen = set()
    for name in FILES:
        seen.add((link / "dags" / name).read_bytes())
        time.sleep(0.001)
    return seen


def _resolved(link: Path) -> set[bytes]:
    folder = Path(os.path.realpath(link))
    return {(folder / "dags" / name).read_bytes() for name in FILES}
