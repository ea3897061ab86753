"""Brings back one version of a package, for a run that began with it: `GET /versions/<package>/<version>`, on loopback alone.

A version's name says what it was; what it must be is pinned by digests: the pointer pins the newest six, each manifest the
one before. So any version that was ever live can be built again from its name, for as long as its bytes are there.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dag_protocol as protocol
from dag_contents import Undecided
from dag_http import Server, serve
from dag_protocol import Pointer, ProtocolError, VersionRef
from dag_store import Missing, StoreError
from dag_sync_fetch import Late
from dag_sync_lanes import Turn
from dag_sync_log import brief, log
from dag_sync_syncer import Syncer
from dag_tree import Full

SECONDS = 40.0  # for one request; the bundle waits a little longer, and what was fetched stays for the next one
MAX_CONNECTIONS = 512  # each task that begins asks once
PREFIX = "/versions/"


class Gone(Exception):
    """The version cannot be brought back, now or ever."""


class Versions:
    """Versions by name, from the disk or from the bucket.

    Args:
        syncer: whose tree and bucket are used.
    """

    def __init__(self, syncer: Syncer) -> None:
        self._syncer = syncer
        self._pins: dict[str, dict[str, VersionRef]] = {}  # by package; a version that was live is pinned for ever

    def bring(self, package: str, version: str, seconds: float = SECONDS) -> Path:
        """The folder of a version, whole on disk; used now, so it is kept for as long as one that was just replaced.

        Raises:
            Gone: it was never live, its bytes are gone, or it is not acceptable.
            Late, Undecided: it is not there in the time given.
            StoreError, OSError: the bucket or the disk failed.
        """
        try:
            protocol.check_package(package)
            protocol.check_version(version)
        except ProtocolError as error:
            raise Gone(str(error)) from None
        only = self._syncer.only
        if only is not None and package not in only:
            raise Gone(f"this dag-sync delivers {', '.join(sorted(only))} alone")
        deadline = time.monotonic() + seconds
        tree = self._syncer.tree
        folder = tree.newest(package, version)
        if folder is None:
            with self._alone(package, deadline):
                folder = tree.newest(package, version) or self._build(package, version, Turn(deadline, slow=True))
        with contextlib.suppress(OSError):
            os.utime(folder)
        return folder

    @contextmanager
    def _alone(self, package: str, deadline: float) -> Iterator[None]:
        lock = self._syncer.tree.lock(package)
        if not lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise Late
        try:
            yield
        finally:
            lock.release()

    def _build(self, package: str, version: str, turn: Turn) -> Path:
        try:
            ref = self._pinned(package, version, turn)
            return self._syncer.build(package, ref, turn)
        except Undecided:
            raise
        except ProtocolError as error:
            raise Gone(brief(error)) from None
        except Missing:
            raise Gone("the package has no pointer in the bucket") from None

    def _pinned(self, package: str, version: str, turn: Turn) -> VersionRef:
        """The version with the digest of its manifest. Raises Gone, Late, ProtocolError, StoreError."""
        known = self._pins.get(package, {})
        if version in known:
            return known[version]
        pointer = self._syncer.pointer(package, turn)
        known = self._pins[package] = known | {ref.version: ref for ref in pointer.candidates}
        if version not in known and version not in pointer.live_versions:
            raise Gone(f"it was never live, or more than {protocol.MAX_LIVE_VERSIONS:,} versions ago")
        ref = _oldest_known(pointer, known)
        while version not in known:
            if time.monotonic() > turn.deadline:
                raise Late
            manifest, _ = self._syncer.bucket.manifest(package, ref)
            if manifest.previous is None:
                raise Gone("no manifest of the package's history leads to it")
            ref = known[manifest.previous.version] = manifest.previous
        return known[version]


def _oldest_known(pointer: Pointer, known: dict[str, VersionRef]) -> VersionRef:
    """From where to follow the history: what an earlier question found is not asked for again."""
    seen = [version for version in pointer.live_versions if version in known]
    return known[seen[-1]] if seen else pointer.candidates[-1]


def answer(versions: Versions, path: str) -> tuple[int, str]:
    """Status and text for a request: 200 it is on disk, 410 it never will be, 503 ask again, 404 no such question."""
    words = path.removeprefix(PREFIX).split("/")
    if not path.startswith(PREFIX) or len(words) != 2:
        return 404, f"there is {PREFIX}<package>/<version>\n"
    package, version = words
    try:
        versions.bring(package, version)
    except Gone as error:
        log("error", "a version that a run needs cannot be brought back", package=package[:80], version=version[:80], reason=str(error))  # fmt: skip
        return 410, f"{error}\n"
    except Late:
        return 503, f"it was not there after {SECONDS:g} seconds\n"
    except Undecided as error:
        return 503, f"{brief(error)}\n"
    except Full as error:
        return 503, f"{error.strerror}\n"
    except (StoreError, OSError) as error:
        return 503, f"{brief(error)}\n"
    return 200, "ok\n"


def serve_versions(bind: str, syncer: Syncer) -> Server:
    """Answer in threads. Raises OSError, ValueError: also where `bind` is not loopback, since anybody could fill the disk."""
    host = bind.rpartition(":")[0]
    if host not in ("127.0.0.1", "[::1]", "localhost"):
        raise ValueError(f"versions are served on loopback alone, not on {bind!r}: give 127.0.0.1:PORT")
    versions = Versions(syncer)
    return serve(bind, {}, lambda path: answer(versions, path), MAX_CONNECTIONS)
