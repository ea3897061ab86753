"""Keeps the tree at what the bucket says: fetches, flips, touches, prunes and mends packages, and knows when Airflow may start."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from threading import Lock

import dag_protocol as protocol
from dag_contents import Undecided
from dag_protocol import File, Newer, Pointer, ProtocolError, VersionRef
from dag_store import Denied, StoreError
from dag_sync_fetch import Bucket, Doubtful, Late, PollError
from dag_sync_lanes import Lanes, Turn
from dag_sync_log import brief, log
from dag_tree import Tree

TOUCHES = (0.0, 2.0, 6.0)  # seconds after a flip: a file that was being parsed during the first is parsed again
STALE_TIMEOUT = 600.0
READY_PATIENCE = 60.0  # after the first good listing, for packages that fail without being refused
BACK_OFF = (2.0, 60.0)
LOOK_AGAIN = (30.0, 600.0)  # at what was refused and could be otherwise: gone, garbled, not checked in its time
WORKERS = 8


@dataclass
class Refusal:
    """Why a version is not served. One of its pinned bytes is for good; any other is looked at again after a pause."""

    reason: str
    tries: int = 0
    retry_at: float | None = None  # monotonic; None: never

    @property
    def stands(self) -> bool:
        """Whether it is not yet time to look again."""
        return self.retry_at is None or time.monotonic() < self.retry_at


@dataclass
class Package:
    """What is known of one package."""

    name: str
    etag: str | None = None  # of the pointer that was dealt with, as GET told it
    seen: str | None = None  # of the pointer that had a turn last, as LIST told it; another one waits for no pause
    action: str = "unknown"  # what the last turn did: delivered, unchanged, removed, refused, failed
    reason: str = ""
    version: str | None = None
    refused: dict[VersionRef, Refusal] = field(default_factory=dict)  # of the pointer's versions, so a handful
    failures: int = 0
    retry_at: float = 0.0
    flip_seconds: float | None = None  # from the pointer's time to the flip
    asked: int = 0  # grows with each wish to look anew, also while a turn is under way

    @property
    def pending(self) -> bool:
        """Whether it was neither delivered nor refused."""
        return self.action in ("unknown", "failed")

    def look_anew(self) -> None:
        """Have it looked at with the next poll."""
        self.asked += 1
        self.etag, self.seen, self.retry_at = None, None, 0.0


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
        self._lock = Lock()  # of the touches, and of what ended
        self._ended: list[str] = []
        self._lanes = Lanes(self._turn)
        self._strays: list[str] = []

    def start(self) -> None:
        """Prepare the tree, and check what an earlier run left. Raises OSError."""
        self.tree.prepare()
        for name in self.tree.packages():  # so that a pointer that vanished while nobody looked is told too
            self.packages[name] = Package(name, action="unchanged", version=self.tree.served_version(name))
        damaged = self.verify()
        self.verified_at_start = not damaged and any(True for _ in self.tree.packages())

    def poll(self, patience: float | None = None) -> bool:
        """One pass. Return whether it was good; packages that failed in it are tried again on their own.

        Args:
            patience: seconds to wait for the packages' turns; what takes longer goes on beside the next pass. None: to the end.
        """
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
        for package in due:
            self._lanes.start(package.name)
        self._lanes.wait(patience)
        with self._lock:
            changed, self._ended = self._ended, []
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
        return patience or not any(p.pending for p in list(self.packages.values()))

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
            if (
                package.etag != etag
                and (etag != package.seen or now >= package.retry_at)
                and not self._lanes.busy(name)
            ):
                package.seen = etag
                due.append(package)
        for name in self.packages.keys() - pointers.keys():
            if self.packages[name].reason != "its pointer vanished":
                self.packages[name].reason = "its pointer vanished"
                self.packages[name].look_anew()
                log("warning", "the pointer vanished; what is served stays", package=name)
        return due

    def _version_at_start(self, package: Package, etag: str) -> str | None:
        try:
            protocol.check_package(package.name)
        except ProtocolError as error:
            self._refuse(package, error, etag)
            return None
        return self.tree.served_version(package.name)

    def _turn(self, name: str, turn: Turn) -> bool:
        """Bring one package to what its pointer says. Return whether it needs more time than the quick lane gives."""
        package = self.packages[name]
        asked = package.asked
        with self.tree.lock(name):
            try:
                self._look_at(package, turn)
            except Late:
                package.action, package.reason = "failed", "not finished in its time; goes on at its next turn"
                if not turn.slow:
                    return True
                package.retry_at = _after(BACK_OFF, 1)
            except Exception as error:  # of the bucket or the disk; and a fault of ours must not hold the others back
                self._fail(package, error)
        if asked != package.asked:
            package.look_anew()
        with self._lock:
            self._ended.append(package.action)
        return False

    def _look_at(self, package: Package, turn: Turn) -> None:
        started = time.monotonic()
        try:
            data, etag = self.bucket.pointer(package.name)
            pointer, package.reason = self._decoded(package.name, data, turn)
            again = self._follow(package, pointer, turn)
        except ProtocolError as error:
            package.failures += 1
            self._refuse(package, error, None)
            package.retry_at = _after(LOOK_AGAIN, package.failures)
            return
        package.failures, package.retry_at = 0, again or 0.0
        package.etag = None if again else etag
        package.version = self.tree.served_version(package.name)
        log("info", "serves an older version" if package.action == "refused" else package.action,
            package=package.name, version=package.version, reason=package.reason,
            seconds=round(time.monotonic() - started, 3))  # fmt: skip

    def _decoded(self, name: str, data: bytes, turn: Turn) -> tuple[Pointer, str]:
        """The pointer; or the newest before it that this program understands, where a newer one wrote since, and why."""
        try:
            return protocol.decode_pointer(data, self.bucket.environment, name), ""
        except Newer as newer:
            pointer = self._understood(name, turn)
            if pointer is None:
                raise
            return pointer, brief(newer)

    def _understood(self, name: str, turn: Turn) -> Pointer | None:
        try:
            for past in self.bucket.past_pointers(name, turn.deadline):
                with contextlib.suppress(ProtocolError):
                    return protocol.decode_pointer(past, self.bucket.environment, name)
        except Denied:  # a role that was made before dag-sync asked for histories
            pass
        return None

    def _fail(self, package: Package, error: Exception) -> None:
        package.failures += 1
        known = isinstance(error, StoreError | OSError)
        package.action, package.reason = "failed", brief(error if known else f"fault of dag-sync: {error!r}")
        package.retry_at = _after(BACK_OFF, package.failures)
        log("error", "failed", package=package.name, reason=package.reason, failures=package.failures)

    def _refuse(self, package: Package, error: Exception, etag: str | None) -> None:
        package.action, package.reason, package.etag = "refused", brief(error), etag
        log("error", "refused", package=package.name, reason=package.reason)

    def _follow(self, package: Package, pointer: Pointer, turn: Turn) -> float | None:
        """Serve the newest acceptable version. Return when to look again at one that is refused for now (monotonic)."""
        if pointer.removed:
            self.tree.unlink(package.name)
            package.action = "removed"
            return None
        package.refused = {ref: why for ref, why in package.refused.items() if ref in pointer.candidates}
        newer, passed_over, late = package.reason, [], False
        for ref in pointer.candidates:
            refusal = package.refused.get(ref)
            if refusal is None or not refusal.stands:
                try:
                    folder = self._on_disk(package, ref, turn, late)
                except (Late, Undecided) as error:
                    if isinstance(error, Undecided) and turn.slow:
                        refusal = self._note(package, ref, error)
                    else:
                        late = True  # meanwhile what is on the disk is better than nothing
                        continue
                except ProtocolError as error:
                    refusal = self._note(package, ref, error)
                else:
                    package.refused.pop(ref, None)
                    self._show(package, pointer, folder)
                    break
            passed_over.append(refusal)
        if late:
            raise Late
        newest = package.refused.get(pointer.ref)
        if newest or newer:
            package.action, package.reason = (
                "refused",
                f"version {pointer.version}: {newest.reason}" if newest else newer,
            )
        return min((why.retry_at for why in passed_over if why.retry_at is not None), default=None)

    def _note(self, package: Package, ref: VersionRef, error: Exception) -> Refusal:
        before = package.refused.get(ref)
        refusal = Refusal(brief(error), before.tries + 1 if before else 1)
        if isinstance(error, Doubtful | Undecided):
            refusal.retry_at = _after(LOOK_AGAIN, refusal.tries)
        package.refused[ref] = refusal
        log("error", "refused", package=package.name, version=ref.version, reason=refusal.reason)
        return refusal

    def _on_disk(self, package: Package, ref: VersionRef, turn: Turn, only: bool) -> Path:
        """The folder of a version, made now unless `only` what is there may be taken. Raises Late, Undecided, ProtocolError."""
        name = package.name
        folder = self.tree.find(name, ref)
        if folder:
            if folder == self.tree.serving(name) or self.tree.verify(folder) is None:
                return folder
            log("warning", "a kept version is damaged and fetched again", package=name, version=ref.version)
        if only or time.monotonic() > turn.deadline:
            raise Late
        before = package.refused.get(ref)
        return self.build(name, ref, turn, before.tries if before else 0)

    def build(self, name: str, ref: VersionRef, turn: Turn, tries: int = 0) -> Path:
        """Fetch a version and put it on disk, not linked; its package's lock is held.

        Args:
            tries: how often its contents were checked without a result.

        Raises:
            Late, Undecided: there was not time enough.
            ProtocolError: it is not acceptable, or not what is pinned.
            StoreError, OSError: the bucket or the disk failed.
        """
        manifest, document = self.bucket.manifest(name, ref)
        return self.tree.build(
            manifest, document, lambda files: self._fetch(name, files, turn.deadline), lambda: turn.limits(tries)
        )

    def pointer(self, name: str, turn: Turn) -> Pointer:
        """What a package's pointer says, or the newest before it that this program understands. Raises ProtocolError, StoreError."""
        return self._decoded(name, self.bucket.pointer(name)[0], turn)[0]

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
        with self._lock:
            self._touches = [(at, f) for at, f in self._touches if f.parent != folder.parent]
            self._touches += [(now + after, folder) for after in TOUCHES if after]

    # --- housekeeping ---------------------------------------------------------------------------------------

    def next_touch(self) -> float | None:
        """Monotonic time of the next touch, if one is due."""
        with self._lock:
            return min((at for at, _ in self._touches), default=None)

    def touch(self) -> None:
        """Do the touches that are due."""
        now = time.monotonic()
        with self._lock:
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
            self.packages.setdefault(name, Package(name)).look_anew()

    def verify(self) -> list[tuple[str, str]]:
        """Hash what is served, forget refusals, look at every pointer again at the next poll. Return what is damaged."""
        damaged = self.damaged()
        self.mend(damaged)
        for package in self.packages.values():
            package.look_anew()
            package.refused = {}
        strays = self.tree.strays()
        if strays and strays != self._strays:
            log(
                "warning",
                "beside the packages are files that are not dag-sync's; Airflow may parse them",
                names=strays[:20],
            )
        self._strays = strays
        return damaged


def _after(pauses: tuple[float, float], times: int) -> float:
    """When to try again (monotonic): the pause grows from the first to the second, and differs from pod to pod."""
    pause: float = min(pauses[1], pauses[0] * 2 ** min(times - 1, 10))
    return time.monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311


def _seconds_since(timestamp: str) -> float | None:
    try:
        return max(0.0, time.time() - datetime.fromisoformat(timestamp).timestamp())
    except ValueError:
        return None
