#!/usr/bin/env python3
"""dag-sync: git-sync for DAG packages in S3.

Each poll is one listing of `pointers/<environment>/`, whatever the number of files. A package whose pointer changed is
fetched whole into a hidden store beside its link, checked, and shown by one rename(2):

    <root>/<package> -> .store/packages/<package>/<version>        Airflow sees <root>/<package>/dags/<file>.py

What is served is a function of the bucket alone: the newest acceptable version along the pointer's history. Nothing is
ever deleted on doubt: a failed listing, a listing without the environment's marker, or a vanished pointer keeps what is
there. Not promised: a reader that opens several files by path during a flip may see two versions; one that resolves
the link once never does.

It is safe to kill at any line, so the signal to end is obeyed at once. Needs boto3 and what the stock Airflow image has.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import math
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dag_tree import STORE, Budget, Tree

import dag_protocol as protocol
from dag_protocol import File, Manifest, Pointer, ProtocolError, VersionRef
from dag_store import Missing, S3Store, StoreError, Unanswered

PERIOD = 1.0  # seconds; with Airflow's refresh_interval of 1 a change is visible within 5 s, docs/latency-and-cost.md
TOUCHES = (0.0, 2.0, 6.0)  # seconds after a flip: a file that was being parsed during the first is parsed again
STALE_TIMEOUT = 600.0
VERIFY_PERIOD = 3600.0
PACKAGE_DEADLINE = 60.0  # then the others have their turn; what was fetched stays
READY_PATIENCE = 60.0  # after the first good listing, for packages that fail without being refused
BACK_OFF = (2.0, 60.0)
WORKERS = 8
CHUNK = 256 * 1024

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_NOTHING_SERVED = 0, 1, 2, 4


def log(level: str, message: str, **fields: Any) -> None:
    """Write one JSON line."""
    line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "level": level, "message": message, **fields}
    print(json.dumps(line), flush=True)


class PollError(Exception):
    """The listing cannot be trusted: nothing is changed."""


class Late(Exception):
    """A package used up its time for this turn."""


@dataclass
class Package:
    """What is known of one package."""

    name: str
    etag: str | None = None  # of the pointer that was dealt with, as GET told it
    action: str = "unknown"  # what the last turn did: delivered, unchanged, removed, refused, failed
    reason: str = ""
    version: str | None = None
    refused: dict[VersionRef, str] = field(default_factory=dict)
    failures: int = 0
    retry_at: float = 0.0
    flip_seconds: float | None = None  # from the pointer's time to the flip

    @property
    def pending(self) -> bool:
        """Whether it was neither delivered nor refused for good."""
        return self.action in ("unknown", "failed")


# --- the bucket -------------------------------------------------------------------------------------------------


class Bucket:
    """What dag-sync reads of the bucket. Keys are built from names, never taken from a document."""

    def __init__(self, store: S3Store, environment: str) -> None:
        self.store = store
        self.environment = environment

    def pointers(self) -> dict[str, str]:
        """ETags of all pointers by package name: one request for 999 packages. Raises PollError, StoreError."""
        prefix = protocol.pointers_prefix(self.environment)
        listing = self.store.listing(prefix)
        if protocol.marker_key(self.environment) not in listing:
            raise PollError(
                f"bucket {self.store.bucket} has no {protocol.marker_key(self.environment)}: emptied, mistyped, or not "
                "made by Terraform; what is there stays"
            )
        # Folders that a console makes, and what lies below one, are no pointers.
        names = {key: key.removeprefix(prefix).removesuffix(".json") for key in listing if key.endswith(".json")}
        return {name: listing[key].etag for key, name in names.items() if "/" not in name and name != protocol.MARKER}

    def pointer(self, package: str) -> tuple[bytes, str]:
        """The pointer's document and its ETag."""
        data, stored = self.store.get(protocol.pointer_key(self.environment, package), protocol.MAX_POINTER_BYTES)
        return data, stored.etag

    def manifest(self, package: str, ref: VersionRef) -> Manifest:
        """The manifest that the pointer pins. Raises ProtocolError, StoreError."""
        key = protocol.manifest_key(self.environment, package, ref.version)
        try:
            data, _ = self.store.get(key, protocol.MAX_MANIFEST_BYTES)
        except Missing:
            raise ProtocolError(f"the manifest of {ref.version} does not exist") from None
        return protocol.decode_manifest(data, self.environment, package, ref)

    def fetch(self, package: str, file: File, target: Path, deadline: float = math.inf) -> None:
        """Write one pinned file to disk, in chunks, by a rename.

        Raises:
            ProtocolError: it is not what is pinned.
            Late: the deadline (monotonic) passed.
            StoreError: the bucket could not be read.
        """
        try:
            self._fetch(package, file, target, deadline)
        except ProtocolError:  # garbled on the way, perhaps; a refusal is for good, so look twice
            self._fetch(package, file, target, deadline)

    def _fetch(self, package: str, file: File, target: Path, deadline: float) -> None:
        key = protocol.files_prefix(self.environment, package) + file.path
        part = target.with_name(target.name + ".part")
        digest, size = hashlib.sha256(), 0
        with part.open("wb") as out:
            try:
                for chunk in self.store.stream(key, file.version_id, CHUNK):
                    size += len(chunk)
                    if size > file.size:
                        break
                    if time.monotonic() > deadline:
                        raise Late
                    digest.update(chunk)
                    out.write(chunk)
            except Missing:
                raise ProtocolError(
                    f"the bytes of {file.path} are gone from the bucket (version id {file.version_id})"
                ) from None
        if size < file.size:
            raise Unanswered(f"{key} was cut off at {size:,} of {file.size:,} bytes")
        if size > file.size or digest.hexdigest() != file.sha256:
            raise ProtocolError(f"{file.path} is not what the manifest pins")
        part.rename(target)


# --- the work ---------------------------------------------------------------------------------------------------


class Syncer:
    """Brings the tree to what the bucket says, package by package.

    Args:
        bucket: where from.
        tree: where to.
        only: names of the packages to deliver; None: all.
        stale_timeout: seconds that a version is kept after it was replaced.
    """

    def __init__(
        self, bucket: Bucket, tree: Tree, only: frozenset[str] | None = None, stale_timeout: float = STALE_TIMEOUT
    ) -> None:
        self.bucket = bucket
        self.tree = tree
        self.only = only
        self.stale_timeout = stale_timeout
        self.packages: dict[str, Package] = {}
        self.counts = {"success": 0, "noop": 0, "error": 0}
        self.last_success = 0.0
        self.first_listing = 0.0
        self.failures = 0  # polls in a row
        self.verified_at_start = False
        self._touches: list[tuple[float, Path]] = []
        self._strays: list[str] = []

    def start(self) -> None:
        """Prepare the tree, and check what an earlier run left. Raises OSError."""
        self.tree.prepare()
        for name in self.tree.packages():  # so that a pointer that vanished while nobody looked is told too
            self.packages[name] = Package(name, action="unchanged", version=self.tree.served_version(name))
        damaged = self.verify()
        self.verified_at_start = not damaged and any(True for _ in self.tree.packages())

    def poll(self) -> bool:
        """One pass. Return whether it was good; packages that failed in it are tried again on their own."""
        try:
            self.tree.write_ignore_file()
            pointers = self.bucket.pointers()
        except (PollError, StoreError, OSError) as error:
            self.failures += 1
            self.counts["error"] += 1
            if self.failures in (1, 10) or self.failures % 100 == 0:
                log("error", str(error), failures=self.failures)
            return False
        self.failures = 0
        due = self._due(pointers)
        self.first_listing = self.first_listing or time.monotonic()  # not sooner: `ready` looks at the packages then
        changed = [self._turn(package) for package in due]
        good = "failed" not in changed
        self.counts["noop" if not changed else "success" if good else "error"] += 1
        if good:
            self.last_success = time.time()
        return good

    @property
    def ready(self) -> bool:
        """Whether Airflow may start: each package was delivered or refused, or a verified store stands in for a dead bucket."""
        if not self.first_listing:
            return self.verified_at_start and self.failures > 0
        patience = time.monotonic() - self.first_listing > READY_PATIENCE
        return patience or not any(p.pending for p in self.packages.values())

    def _due(self, pointers: dict[str, str]) -> list[Package]:
        now = time.monotonic()
        due = []
        for name, etag in pointers.items():
            if self.only is not None and name not in self.only:
                continue
            package = self.packages.get(name)
            if package is None:
                package = self.packages[name] = Package(name)
                package.version = self._version_at_start(package, etag)
            if package.etag != etag and now >= package.retry_at:
                due.append(package)
        for name in self.packages.keys() - pointers.keys():
            if self.packages[name].reason != "its pointer vanished":
                self.packages[name].reason = "its pointer vanished"
                self.packages[name].etag = None
                log("warning", "the pointer vanished; what is served stays", package=name)
        return due

    def _version_at_start(self, package: Package, etag: str) -> str | None:
        try:
            protocol.check_package(package.name)
        except ProtocolError as error:
            self._refuse(package, str(error), etag)
            return None
        return self.tree.served_version(package.name)

    def _turn(self, package: Package) -> str:
        started = time.monotonic()
        etag: str | None = None
        try:
            data, etag = self.bucket.pointer(package.name)
            self._follow(package, data, started + PACKAGE_DEADLINE)
        except Late:
            package.action, package.reason = "failed", "not finished in its time; goes on at its next turn"
        except ProtocolError as error:
            self._refuse(package, str(error), etag)
        except Exception as error:  # of the bucket or the disk; and a fault of ours must not hold the others back
            package.failures += 1
            known = isinstance(error, StoreError | OSError)
            package.action, package.reason = "failed", str(error) if known else f"fault of dag-sync: {error!r}"
            pause = min(BACK_OFF[1], BACK_OFF[0] * 2 ** min(package.failures - 1, 10))
            package.retry_at = time.monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311
            log("error", "failed", package=package.name, reason=package.reason, failures=package.failures)
        else:
            package.etag, package.failures, package.retry_at = etag, 0, 0.0
            package.version = self.tree.served_version(package.name)
            log("info", "serves an older version" if package.action == "refused" else package.action,
                package=package.name, version=package.version, reason=package.reason,
                seconds=round(time.monotonic() - started, 3))  # fmt: skip
        return package.action

    def _refuse(self, package: Package, reason: str, etag: str | None) -> None:
        package.action, package.reason, package.etag = "refused", reason, etag
        log("error", "refused", package=package.name, reason=reason)

    def _follow(self, package: Package, data: bytes, deadline: float) -> None:
        pointer = protocol.decode_pointer(data, self.bucket.environment, package.name)
        package.reason = ""
        if pointer.removed:
            self.tree.unlink(package.name)
            package.action = "removed"
            return
        for ref in pointer.candidates:
            if ref in package.refused:
                continue
            try:
                folder = self._on_disk(package.name, ref, deadline)
            except ProtocolError as error:
                package.refused[ref] = str(error)
                log("error", "refused", package=package.name, version=ref.version, reason=str(error))
                continue
            self._show(package, pointer, folder)
            break
        newest = package.refused.get(pointer.ref)
        if newest:
            package.action, package.reason = "refused", f"version {pointer.version}: {newest}"

    def _on_disk(self, name: str, ref: VersionRef, deadline: float) -> Path:
        folder = self.tree.find(name, ref.version)
        if folder:
            if folder == self.tree.serving(name) or self.tree.verify(folder) is None:
                return folder
            log("warning", "a kept version is damaged and fetched again", package=name, version=ref.version)
        return self.tree.build(self.bucket.manifest(name, ref), lambda files: self._fetch(name, files, deadline))

    def _fetch(self, name: str, files: list[tuple[File, Path]], deadline: float) -> None:
        def one(item: tuple[File, Path]) -> None:
            if time.monotonic() > deadline:
                raise Late
            self.bucket.fetch(name, *item, deadline)

        if len(files) < 2:
            for item in files:
                one(item)
            return
        with ThreadPoolExecutor(WORKERS) as pool:
            futures = [pool.submit(one, item) for item in files]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def _show(self, package: Package, pointer: Pointer, folder: Path) -> None:
        if self.tree.serving(package.name) == folder:
            package.action = "unchanged"
            return
        self.tree.flip(package.name, folder)
        self.tree.touch(folder)
        package.action = "delivered"
        package.flip_seconds = _seconds_since(pointer.updated)
        now = time.monotonic()
        self._touches = [(at, f) for at, f in self._touches if f.parent != folder.parent]
        self._touches += [(now + after, folder) for after in TOUCHES if after]

    # --- housekeeping ---------------------------------------------------------------------------------------

    def next_touch(self) -> float | None:
        """Monotonic time of the next touch, if one is due."""
        return min((at for at, _ in self._touches), default=None)

    def touch(self) -> None:
        """Do the touches that are due."""
        now = time.monotonic()
        due = [folder for at, folder in self._touches if at <= now]
        self._touches = [(at, folder) for at, folder in self._touches if at > now]
        for folder in due:
            self.tree.touch(folder)

    def prune(self) -> None:
        """Drop the versions that were replaced long enough ago."""
        for name in self.tree.prune(self.stale_timeout):
            log("info", "pruned", version=name)

    def damaged(self) -> list[tuple[str, str]]:
        """Hash everything that is served. Return (package, what is wrong). May run beside polls."""
        found = []
        for name in list(self.tree.packages()):
            folder = self.tree.serving(name)
            wrong = self.tree.verify(folder) if folder else "its version is gone"
            if wrong and folder == self.tree.serving(name):  # not replaced meanwhile
                found.append((name, wrong))
        return found

    def mend(self, damaged: Iterable[tuple[str, str]]) -> None:
        """Have damaged packages fetched again at the next poll, into a new folder; until then they are served as they are."""
        for name, wrong in damaged:
            log("warning", "damaged on disk, is fetched again", package=name, reason=wrong)
            folder = self.tree.serving(name)
            if folder:
                self.tree.discredit(folder)
            package = self.packages.setdefault(name, Package(name))
            package.etag, package.retry_at = None, 0.0

    def verify(self) -> list[tuple[str, str]]:
        """Hash what is served, forget refusals, look at every pointer again at the next poll. Return what is damaged."""
        damaged = self.damaged()
        self.mend(damaged)
        for package in self.packages.values():
            package.etag, package.retry_at = None, 0.0
            package.refused.clear()
        strays = self.tree.strays()
        if strays and strays != self._strays:
            log(
                "warning",
                "beside the packages are files that are not dag-sync's; Airflow may parse them",
                names=strays[:20],
            )
        self._strays = strays
        return damaged


def _seconds_since(timestamp: str) -> float | None:
    try:
        return max(0.0, time.time() - datetime.fromisoformat(timestamp).timestamp())
    except ValueError:
        return None


# --- health and metrics -------------------------------------------------------------------------------------------


def metrics(syncer: Syncer) -> str:
    """The numbers in Prometheus' text format."""
    lines: list[str] = []

    def metric(name: str, kind: str, about: str, samples: Iterable[tuple[str, float]]) -> None:
        lines.extend((f"# HELP dag_sync_{name} {about}", f"# TYPE dag_sync_{name} {kind}"))
        lines.extend(f"dag_sync_{name}{labels} {value:.17g}" for labels, value in samples)

    packages = sorted(syncer.packages.values(), key=lambda p: p.name)
    versions = [(f'{{package="{p.name}",version="{p.version}"}}', 1.0) for p in packages if p.version]
    flips = [(f'{{package="{p.name}"}}', p.flip_seconds) for p in packages if p.flip_seconds is not None]
    refused = [p for p in packages if p.action == "refused"]
    metric("count_total", "counter", "Polls by outcome.", ((f'{{status="{s}"}}', n) for s, n in syncer.counts.items()))
    metric("last_success_timestamp_seconds", "gauge", "Unix time of the last good poll.", [("", syncer.last_success)])
    metric("consecutive_errors", "gauge", "Failed polls in a row.", [("", syncer.failures)])
    metric("package_version", "gauge", "The version that is served, always 1.", versions)
    metric("publish_to_flip_seconds", "gauge", "From the pointer's time to the last flip.", flips)
    metric("packages_refused", "gauge", "Packages whose newest version is refused.", [("", len(refused))])
    metric(
        "package_refused",
        "gauge",
        "1 for each of them.",
        ((f'{{package="{p.name}"}}', 1) for p in refused if _plain(p.name)),
    )
    metric(
        "packages_failing",
        "gauge",
        "Packages that could not be fetched.",
        [("", sum(p.action == "failed" for p in packages))],
    )
    vanished = sum(p.reason == "its pointer vanished" for p in packages)
    metric("pointers_vanished", "gauge", "Packages served without a pointer.", [("", vanished)])
    return "\n".join(lines) + "\n"


def _plain(name: str) -> bool:
    return name.isidentifier()  # a hostile key must not become a label


def serve_http(bind: str, syncer: Syncer, alive: Loop) -> ThreadingHTTPServer:
    """Serve /healthz (the loop turns), /readyz (first sync done) and /metrics in a thread. Raises OSError, ValueError."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers: dict[str, Callable[[], tuple[int, str]]] = {
                "/healthz": lambda: (200, "ok\n") if alive.turning else (503, "the loop stands still\n"),
                "/readyz": lambda: (200, "ok\n") if syncer.ready else (503, "the first sync is not done\n"),
                "/metrics": lambda: (200, metrics(syncer)),
            }
            status, text = answers.get(self.path, lambda: (404, "there are /healthz, /readyz and /metrics\n"))()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    host, _, port = bind.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server


# --- one process per root -----------------------------------------------------------------------------------------


class Requests:
    """How a second process asks the running one to sync now: a file with a number, answered by a file beside it."""

    def __init__(self, root: Path) -> None:
        self.folder = root / STORE / "requests"
        self.lock = root / STORE / "lock"

    def own(self) -> Any | None:
        """Take the root for this process. Return the open lock, or None if another process has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.lock.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        for left in self.folder.glob("*.answer"):
            left.unlink(missing_ok=True)
        return file

    def waiting(self) -> list[Path]:
        """Requests that have no answer yet."""
        return list(self.folder.glob("*.request"))

    def answer(self, requests: Iterable[Path], result: dict[str, Any]) -> None:
        """Tell those who asked."""
        for request in requests:
            temporary = request.with_suffix(".writing")
            temporary.write_text(json.dumps(result))
            temporary.rename(request.with_suffix(".answer"))
            request.unlink(missing_ok=True)

    def ask(self, timeout: float) -> tuple[dict[str, Any] | None, Any | None]:
        """Ask the running process for a sync and wait. Return its answer, or the lock if it ended instead, or neither."""
        request = self.folder / f"{os.getpid()}-{time.time_ns()}.request"
        request.touch()
        answer = request.with_suffix(".answer")
        deadline = time.monotonic() + timeout
        with contextlib.suppress(OSError, ValueError):  # of another user or namespace: it looks each period anyway
            os.kill(int(self.lock.read_text()), signal.SIGHUP)
        while time.monotonic() < deadline:
            try:
                result: dict[str, Any] = json.loads(answer.read_bytes())
            except FileNotFoundError:
                if lock := self.own():
                    request.unlink(missing_ok=True)
                    return None, lock
                time.sleep(0.02)
                continue
            answer.unlink(missing_ok=True)
            return result, None
        request.unlink(missing_ok=True)
        return None, None


class Loop:
    """The running process: polls each period, touches, prunes, verifies, answers requests.

    Args:
        syncer: what does the work.
        requests: of other processes.
        period: seconds between the starts of two polls.
        max_failures: failed polls in a row after which it ends with 1; negative: never.
    """

    def __init__(self, syncer: Syncer, requests: Requests, period: float, max_failures: int) -> None:
        self.syncer = syncer
        self.requests = requests
        self.period = period
        self.max_failures = max_failures
        self._wake = threading.Event()
        self._beat = time.monotonic()
        self._damaged: list[tuple[str, str]] = []

    @property
    def turning(self) -> bool:
        """Whether the loop is alive. A dead bucket is no reason to restart a pod: it slows the loop, never stops it."""
        return time.monotonic() - self._beat < PACKAGE_DEADLINE * 5 + self.period

    def hurry(self, *_: Any) -> None:
        """Sync now (SIGHUP)."""
        self._wake.set()

    def run(self) -> int:
        """Turn until killed. Return an exit code when `max_failures` is reached."""
        threading.Thread(target=self._verify_now_and_then, name="verify", daemon=True).start()
        while True:
            started = self._beat = time.monotonic()
            asked = self._wake.is_set()
            self._wake.clear()
            waiting = self.requests.waiting()
            if asked or waiting:
                self.syncer.verify()
            damaged, self._damaged = self._damaged, []
            self.syncer.mend(damaged)
            self.syncer.poll()
            self._keep_house(waiting)
            if 0 <= self.max_failures < self.syncer.failures:
                log("error", "too many failed polls in a row", failures=self.syncer.failures)
                return EXIT_FAILED
            self._rest(started + self.period)

    def _keep_house(self, waiting: list[Path]) -> None:
        """What may wait: on a full disk it is tried again at the next turn."""
        try:
            self.syncer.prune()
            if waiting:
                self.requests.answer(waiting, result_of(self.syncer))
        except OSError as error:
            log("error", f"the disk failed: {error}")

    def _rest(self, until: float) -> None:
        while True:
            self.syncer.touch()
            touch = self.syncer.next_touch()
            now = time.monotonic()
            if now >= until or self._wake.wait(max(0.0, min(until, touch or until) - now)):
                return

    def _verify_now_and_then(self) -> None:
        while True:
            time.sleep(VERIFY_PERIOD * random.uniform(0.9, 1.1))  # noqa: S311
            self._damaged = self.syncer.damaged()


def result_of(syncer: Syncer) -> dict[str, Any]:
    """What a sync did, for `--one-time`."""
    packages = sorted(syncer.packages.values(), key=lambda p: p.name)
    rows = [{"package": p.name, "action": p.action, "version": p.version, "reason": p.reason} for p in packages]
    return {"good": syncer.failures == 0, "packages": rows}


def report(result: dict[str, Any]) -> int:
    """Print what `--one-time` did, a line a package, and return the exit code."""
    if not result["good"]:
        print("dag-sync: the bucket could not be listed; what is there stays (the log says why)")
        return EXIT_FAILED
    for row in result["packages"]:
        print(f"{row['package']:<40.40} {row['action']:<10} {row['version'] or '-':<26} {row['reason']}".rstrip())
    if any(row["action"] == "failed" for row in result["packages"]):
        return EXIT_FAILED
    if any(row["action"] == "refused" and not row["version"] for row in result["packages"]):
        return EXIT_NOTHING_SERVED
    return EXIT_OK


# --- the command ----------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    """The options; each has a variable of the same meaning, so that a pod can be set by its environment."""
    parser = argparse.ArgumentParser(
        prog="dag_sync.py",
        description="Delivers DAG packages from S3: whole versions, shown by one rename.",
        epilog="Exit codes: 0 done, 1 the bucket or a package failed, 2 wrong use, 4 a package has no acceptable version. "
        "Credentials come from the AWS chain; AWS_ENDPOINT_URL works.",
    )

    def option(flag: str, variable: str, default: Any, about: str, **more: Any) -> None:
        parser.add_argument(flag, default=os.environ.get(variable) or default, help=f"{about} ({variable})", **more)

    option("--bucket", "DAG_SYNC_BUCKET", None, "bucket with the packages")
    option("--environment", "DAG_SYNC_ENVIRONMENT", None, "environment, the first part of the keys")
    option("--root", "DAG_SYNC_ROOT", "/opt/airflow/dags", "folder that holds the hidden store", type=Path)
    option(
        "--link",
        "DAG_SYNC_LINK",
        None,
        "folder in which the package links appear, on the same volume; default: the root",
        type=Path,
    )
    option("--period", "DAG_SYNC_INTERVAL", PERIOD, f"seconds between polls, {PERIOD:g} by default", type=seconds)
    parser.add_argument(
        "--package",
        action="append",
        help="deliver this package only; again for more, or separated by commas (DAG_SYNC_PACKAGES)",
    )
    option(
        "--max-failures", "DAG_SYNC_MAX_FAILURES", -1, "failed polls in a row that end it; negative: never", type=int
    )
    option(
        "--stale-timeout",
        "DAG_SYNC_STALE_TIMEOUT",
        STALE_TIMEOUT,
        "seconds that a replaced version is kept for running tasks",
        type=seconds,
    )
    option(
        "--http-bind",
        "DAG_SYNC_HTTP_BIND",
        None,
        "address for /healthz, /readyz and /metrics, like :9101",
        type=address,
    )
    option(
        "--max-bytes",
        "DAG_SYNC_MAX_BYTES",
        Budget.bytes,
        "what the store may hold, in bytes; below half of the volume's limit",
        type=int,
    )
    option("--max-inodes", "DAG_SYNC_MAX_INODES", Budget.inodes, "what the store may hold, in files", type=int)
    parser.add_argument(
        "--one-time",
        action="store_true",
        help="sync once and end; where a loop runs already, have it sync now and wait",
    )
    parser.add_argument(
        "--timeout", default=300.0, type=seconds, help="seconds to wait for a running loop, with --one-time"
    )
    return parser


def seconds(text: str) -> float:
    """A duration: `15`, `1.5`, `15s`, `10m` or `1h`, as git-sync takes it too."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    value = float(text[:-1]) * units[text[-1]] if text[-1:] in units else float(text)
    if not 0.05 <= value < 1e7:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0.05 seconds and 100 days")
    return value


def address(text: str) -> str:
    """An address to listen on: `:9101`, or `127.0.0.1:9101`."""
    _, colon, port = text.rpartition(":")
    if not (colon and port.isdecimal() and 0 < int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not an address like :9101")
    return text


def settings(argv: list[str] | None) -> tuple[argparse.Namespace, frozenset[str] | None]:
    """Read options and variables. Ends with 2 and one sentence when they are wrong."""
    options = parser()
    args = options.parse_args(argv)
    given = args.package or [os.environ.get("DAG_SYNC_PACKAGES", "")]
    names = [name for text in given for name in text.split(",") if name]
    for value, flag in (
        (args.bucket, "--bucket or DAG_SYNC_BUCKET"),
        (args.environment, "--environment or DAG_SYNC_ENVIRONMENT"),
    ):
        if not value:
            options.error(f"{flag} is missing")
    try:
        protocol.check_environment(args.environment)
        only = frozenset(map(protocol.check_package, names)) if names else None
    except ProtocolError as error:
        options.error(str(error))
    return args, only


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # PID 1 has no default action; every line is safe to die at
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # till there is a loop: its first turn is soon
    args, only = settings(argv)
    root = Path(args.root).resolve()
    requests = Requests(root)
    try:
        lock = requests.own()
        if lock is None:
            if not args.one_time:
                log("error", f"another dag-sync runs on {root}: one process per root; --one-time asks it to sync now")
                return EXIT_FAILED
            result, lock = requests.ask(args.timeout)
            if result:
                return report(result)
            if lock is None:
                print(f"dag-sync: the running process did not answer within {args.timeout:g} seconds; its log says why")
                return EXIT_FAILED
        store = S3Store(args.bucket)
        tree = Tree(root, Path(args.link).resolve() if args.link else None, Budget(args.max_bytes, args.max_inodes))
        syncer = Syncer(Bucket(store, args.environment), tree, only, args.stale_timeout)
        loop = Loop(syncer, requests, args.period, args.max_failures)
        signal.signal(signal.SIGHUP, loop.hurry)
        syncer.start()
        if args.one_time:
            syncer.poll()
            for package in only - syncer.packages.keys() if only else ():
                log("warning", "no such package in the bucket", package=package)
            return report(result_of(syncer))
        if args.http_bind:
            serve_http(args.http_bind, syncer, loop)
    except (OSError, StoreError, ValueError) as error:
        log("error", str(error))
        return EXIT_FAILED
    log("info", "started", bucket=args.bucket, environment=args.environment, root=str(root), period=args.period,
        packages=sorted(only) if only else "all")  # fmt: skip
    return loop.run()


if __name__ == "__main__":
    sys.exit(main())
