"""What dag-sync and other programs do where data can be lost: one table, a row a fault, a column a program.

A cell begins with `ok`, `kept` or `healed` where nothing was lost, and with a word in capitals where something was.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_dag_publisher import publishing, restore, rollback
from dag_package import Session
from dag_store import S3Store
from scripts.bench import peers, rig
from scripts.bench.peers import OURS, Peer
from scripts.bench.rig import ENVIRONMENT, Run, measured, small_files
from scripts.local import s3_servers
from scripts.local.fault_proxy import Fault, FaultProxy, Seen
from scripts.local.packages import hand_make, wanted
from scripts.local.s3_servers import S3Server

LIMIT = 20.0  # seconds that a program has
PATIENT = 60.0  # for answers that programs repeat many times
PACKAGE = "sales"
LOST = re.compile(r"[A-Z]{3,}")


@dataclass
class Cell:
    """One program on a bucket and a folder of its own, through a proxy of its own."""

    peer: Peer
    server: S3Server
    store: S3Store
    proxy: FaultProxy
    folder: Path

    @property
    def target(self) -> Path:
        """Where it delivers to: below deeper folders, so that names with `..` can be seen to leave it."""
        return self.folder / "deep" / "er" / "to"

    @property
    def dags(self) -> Path:
        """The package's files."""
        return self.target / PACKAGE / "dags"

    def publish(self, files: Mapping[str, bytes]) -> None:
        """Make files current, and live."""
        rig.publish(self.store, PACKAGE, files)

    def sync(self, bucket: str | None = None, environment: str = ENVIRONMENT, limit: float = LIMIT) -> Run:
        """One sync."""
        command = peers.sync(self.peer, bucket or self.store.bucket, self.target, environment)
        return measured(command, self.proxy.endpoint, limit)

    def files(self) -> dict[str, bytes]:
        """What is there."""
        dags = Path(os.path.realpath(self.dags))
        found = {}
        for path in dags.rglob("*"):
            try:
                if path.is_file() and "__pycache__" not in path.parts:
                    found[path.relative_to(dags).as_posix()] = path.read_bytes()
            except OSError:
                continue
        return found

    def session(self, workers: int = 8) -> Session:
        """Of a publisher."""
        return Session(self.store, ENVIRONMENT, PACKAGE, publisher="bench", workers=workers)


ONE, TWO = small_files(6, "of version one"), small_files(6, "of version two")  # equal sizes
LONGER = small_files(6, "of version two, which is longer")


def _tables(word: str, count: int, lines: int) -> dict[str, bytes]:
    """Data files, each of its own contents: equal ones would be fetched once."""
    return {f"data_{n:02d}.csv": f"{word} {n:02d}\n".encode() * lines for n in range(count)}


def _ended(run: Run) -> str:
    return f"still waiting at {run.wall:.0f} s" if run.status is None else f"rc {run.status}"


def _state(cell: Cell, old: Mapping[str, bytes], new: Mapping[str, bytes]) -> str:
    """What is there after a failure."""
    found = cell.files()
    if found == dict(new):
        return "ok, all new"
    if found == dict(old):
        return "kept, old whole"
    if not found:
        return "WIPED"
    empty = sum(not data for data in found.values())
    broken = sum(bool(data) and data not in (old.get(p), new.get(p)) for p, data in found.items())
    mixed = sum(data == new.get(p) for p, data in found.items())
    if empty or broken:
        return f"{empty} EMPTY, {broken} CUT OF {len(found)}"
    return f"MIXED: {mixed} of {len(new)} new, {len(found)} there"


# --- rows -------------------------------------------------------------------------------------------------------


def same_size(cell: Cell) -> str:
    """Same-size edit, more than a second after the sync."""
    cell.publish(ONE)
    cell.sync()
    time.sleep(1.5)
    cell.publish(TWO)
    cell.sync()
    return "ok" if cell.files() == TWO else "MISSED"


def same_second(cell: Cell) -> str:
    """Same-size edit at once after the sync, three times."""
    missed = 0
    for _ in range(3):
        for version in (ONE, TWO):
            cell.publish(version)
            cell.sync()
            missed += cell.files() != version
    return "ok" if not missed else f"MISSED {missed} of 6"


def tampered(cell: Cell) -> str:
    """Local file changed, with its size and time kept; the next sync repairs it."""
    cell.publish(ONE)
    cell.sync()
    path = Path(os.path.realpath(cell.dags)) / "file_0000.py"
    before = path.stat()
    path.write_bytes(TWO["file_0000.py"])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    cell.sync()
    return "ok" if cell.files() == ONE else "NOT REPAIRED"


def during_publish(cell: Cell) -> str:
    """What a reader sees while a publish of 20 files goes on and the program syncs all the time."""
    old, new = _tables("old", 20, 20_000), _tables("newer", 20, 20_000)
    cell.publish(old)
    cell.sync()
    done, torn, partial, samples = threading.Event(), 0, 0, 0

    def slowly() -> None:
        publishing.make_live(cell.session(workers=1), lambda _: wanted(new), progress=lambda *_: time.sleep(0.15))

    def sync_all_the_time() -> None:
        while not done.is_set():
            cell.sync()

    with ThreadPoolExecutor(2) as pool:
        publisher = pool.submit(slowly)
        syncing = pool.submit(sync_all_the_time)
        ended = None
        while ended is None or time.monotonic() < ended + 3:
            if publisher.done() and ended is None:
                ended = time.monotonic()
            found = cell.files()
            samples += 1
            whole = [p for p, data in found.items() if data in (old.get(p), new.get(p))]
            partial += any(p in old for p in found.keys() - set(whole))
            torn += len({found[p][:3] for p in whole}) > 1
            time.sleep(0.02)
        done.set()
        publisher.result()
        syncing.result()
    return f"{'TORN' if torn else 'ok'} {torn}, {'PARTIAL' if partial else 'partial'} {partial} of {samples}"


def emptied(cell: Cell) -> str:
    """Every object of the bucket deleted."""
    cell.publish(ONE)
    cell.sync()
    for key in cell.store.listing(""):
        cell.store.client.delete_object(Bucket=cell.store.bucket, Key=key)
    run = cell.sync()
    return f"{_state(cell, ONE, {'-': b''})}, {_ended(run)}"


def mistyped(cell: Cell) -> str:
    """Typo in the prefix."""
    cell.publish(ONE)
    cell.sync()
    run = cell.sync(environment="dve")
    return f"{_state(cell, ONE, {'-': b''})}, {_ended(run)}"


def no_bucket(cell: Cell) -> str:
    """No such bucket."""
    cell.publish(ONE)
    cell.sync()
    run = cell.sync(bucket="no-such-bucket")
    return f"{_state(cell, ONE, {'-': b''})}, {_ended(run)}"


def _fault_on(cell: Cell, fault: Fault, lists: bool, limit: float) -> str:
    cell.publish(ONE)
    cell.sync()
    cell.publish(LONGER)
    cell.proxy.fault = lambda seen: fault if (_is_list(seen) if lists else _is_file(seen)) else None
    run = cell.sync(limit=limit)
    state = _state(cell, ONE, LONGER)
    cell.proxy.forget()
    cell.sync()
    healed = "healed" if cell.files() == LONGER else "NOT HEALED"
    return f"{state}, {_ended(run)}; then {healed}"


def _is_list(seen: Seen) -> bool:
    """Whether it lists, with either version of the call: rclone uses the first."""
    return seen.method == "GET" and "/" not in seen.path.strip("/")


def _is_file(seen: Seen) -> bool:
    return seen.method == "GET" and f"/{ENVIRONMENT}/{PACKAGE}/dags/" in seen.path


def killed(cell: Cell) -> str:
    """SIGKILL in the middle of a download, then a run to its end."""
    big, new = _tables("old", 40, 50_000), _tables("newer", 40, 50_000)
    cell.publish(big)
    cell.sync(limit=60)
    cell.publish(new)
    reached = threading.Event()

    def slow(seen: Seen) -> None:
        if _is_file(seen):
            time.sleep(0.05)
            if sum(map(_is_file, list(cell.proxy.seen))) > 20:
                reached.set()

    cell.proxy.forget()  # it counts from here
    cell.proxy.fault = slow
    command = peers.sync(cell.peer, cell.store.bucket, cell.target)
    process = subprocess.Popen(
        command,
        env=rig.variables(cell.proxy.endpoint),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    reached.wait(LIMIT)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    found = cell.files()
    known = {p: d for p, d in found.items() if p in big}
    partial = sum(data not in (big[p], new[p]) for p, data in known.items())
    mixed = len({data[:3] for p, data in known.items() if data in (big[p], new[p])}) > 1
    cell.proxy.forget()
    cell.sync(limit=60)
    healed = "healed" if cell.files() == new else "NOT HEALED"
    state = f"{partial} PARTIAL" if partial else "MIXED" if mixed else "kept, old whole"
    return f"{state}, {len(found) - len(known)} temporary; then {healed}"


def disk_full(cell: Cell) -> str:
    """A disk that becomes full, then has room."""
    cell.target.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=900k", "bench", str(cell.target)], check=False, capture_output=True
    )
    if mounted.returncode:
        return "-"
    try:
        old, new = _tables("old", 40, 2_000), _tables("newer", 40, 4_000)
        cell.publish(old)
        cell.sync()
        cell.publish(new)
        run = cell.sync(limit=PATIENT)
        state = _state(cell, old, new)
        subprocess.run(["mount", "-o", "remount,size=20m", str(cell.target)], check=True)
        cell.sync()
        return f"{state}, {_ended(run)}; then {'healed' if cell.files() == new else 'NOT HEALED'}"
    finally:
        subprocess.run(["umount", "-l", str(cell.target)], check=False)


def removed_and_restored(cell: Cell) -> str:
    """Files removed (delete markers), then brought back."""
    cell.publish(ONE)
    cell.sync()
    publishing.remove(cell.session())
    cell.sync()
    gone = not cell.files()
    restore.restore(cell.session())
    cell.sync()
    return "ok" if gone and cell.files() == ONE else "MISSED"


def rolled_back(cell: Cell) -> str:
    """Rollback to contents of the same size."""
    cell.publish(ONE)
    cell.publish(TWO)
    cell.sync()
    time.sleep(1.5)
    rollback.rollback(cell.session())
    cell.sync()
    return "ok" if cell.files() == ONE else "MISSED"


def clock_ahead(cell: Cell) -> str:
    """Local times an hour ahead, then a same-size edit."""
    cell.publish(ONE)
    cell.sync()
    later = time.time() + 3600
    for path in Path(os.path.realpath(cell.dags)).glob("*.py"):
        os.utime(path, (later, later))
    cell.publish(TWO)
    cell.sync()
    return "ok" if cell.files() == TWO else "MISSED"


def _key(cell: Cell, path: str, also: tuple[str, ...] = ()) -> str:
    """A strange name beside six good files. Whoever writes to the bucket by hand can make it."""
    cell.publish(ONE)
    cell.sync()
    hand_make(cell.store, {**ONE, **dict.fromkeys((path, *also), b"x = 1\n")}, PACKAGE)
    run = cell.sync()
    found = cell.files()
    escaped = [p for p in cell.folder.rglob("escape*") if not p.is_relative_to(os.path.realpath(cell.dags))]
    good = {p: data for p, data in found.items() if ONE.get(p) == data}
    state = "ESCAPED" if escaped else "kept" if good == ONE else f"LOST {len(ONE) - len(good)} of {len(ONE)}"
    return f"{state}, {'and delivered' if path in found else 'left out'}, {_ended(run)}"


ROWS: dict[str, Callable[[Cell], str]] = {
    "same-size edit, 1.5 s later": same_size,
    "same-size edit at once": same_second,
    "local file changed, size and time kept": tampered,
    "reader during a publish of 20 files": during_publish,
    "bucket emptied": emptied,
    "typo in the prefix": mistyped,
    "no such bucket": no_bucket,
    "403 to all lists": lambda cell: _fault_on(cell, "403", True, LIMIT),
    "500 to all lists": lambda cell: _fault_on(cell, "500", True, PATIENT),
    "reset of all lists": lambda cell: _fault_on(cell, "reset", True, PATIENT),
    "500 to all file GETs": lambda cell: _fault_on(cell, "500", False, PATIENT),
    "reset of all file GETs": lambda cell: _fault_on(cell, "reset", False, PATIENT),
    "file bodies cut off": lambda cell: _fault_on(cell, "truncate", False, LIMIT),
    "SIGKILL half-way": killed,
    "disk full": disk_full,
    "removed, then restored": removed_and_restored,
    "rollback, same size": rolled_back,
    "local clock an hour ahead": clock_ahead,
}
KEYS: dict[str, Callable[[Cell], str]] = {
    "name with `..`": lambda cell: _key(cell, "../../../../escape.py"),
    "name with `//`": lambda cell: _key(cell, "/tmp/x.py"),  # noqa: S108
    "name with a control character": lambda cell: _key(cell, "a\tb\x01.py"),
    "both `a` and `a/b`": lambda cell: _key(cell, "a", ("a/b",)),
    "`sub/` with content": lambda cell: _key(cell, "sub/"),
    "name of 300 characters": lambda cell: _key(cell, "n" * 300),
    "letters of all kinds": lambda cell: _key(cell, "daten_ü_数.py"),
}


# --- the table --------------------------------------------------------------------------------------------------


def run(quick: bool = False) -> dict[str, Any]:
    """Run each cell: a row at a time, its programs side by side."""
    others, versions, missing = peers.available()
    programs = [OURS, *(others[:1] if quick else others)]
    rows = dict(list(ROWS.items())[:1]) if quick else ROWS
    keys = dict(list(KEYS.items())[:1]) if quick else KEYS
    table: list[dict[str, Any]] = []
    for kind, part in (("versitygw", rows), ("moto", keys)):
        for number, (name, test) in enumerate(part.items()):
            print(f"faults: {name}", flush=True)
            table.append({"fault": name, "server": kind, "cells": _row(kind, number, test, programs)})
    lost = [row["fault"] for row in table if LOST.search(row["cells"][OURS.name])]
    return {"limits": [LIMIT, PATIENT], "programs": versions, "left_out": missing, "rows": table, "targets": [
        {"what": f"rows of {len(table)} in which dag-sync lost something", "measured": len(lost), "at_most": 0, "met": not lost}
    ]}  # fmt: skip


def _row(kind: str, number: int, test: Callable[[Cell], str], programs: list[Peer]) -> dict[str, str]:
    with rig.scratch() as folder, ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        running = rig.server(folder / "s3") if kind == "versitygw" else s3_servers.running(kind, folder / "s3")
        server = stack.enter_context(running)
        cells = [
            stack.enter_context(_cell(server, peer, f"b{number}{n}x", folder / str(n)))
            for n, peer in enumerate(programs)
        ]
        return {
            peer.name: text
            for peer, text in zip(programs, pool.map(lambda cell: _tried(test, cell), cells), strict=True)
        }


def _tried(test: Callable[[Cell], str], cell: Cell) -> str:
    try:
        return test(cell)
    except Exception as error:  # a cell must not take the table with it; it is shown as it is
        return f"NOT RUN: {type(error).__name__} {str(error)[:80]}".replace(str(cell.folder), "…")


@contextmanager
def _cell(server: S3Server, peer: Peer, bucket: str, folder: Path) -> Iterator[Cell]:
    folder.mkdir()
    with FaultProxy(server.endpoint) as proxy:
        yield Cell(peer, server, server.bucket(bucket), proxy, folder)
