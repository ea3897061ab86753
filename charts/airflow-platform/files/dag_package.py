"""One package in the bucket: what is live, what was edited by hand, and how a version becomes live.

Publisher and adopter share it; everything goes through a `Store`, so that the model in tests/protocol can stop it
between any two requests.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

import dag_protocol as protocol
from dag_protocol import File, Manifest, Meaning, Newer, Pointer, ProtocolError, VersionRef
from dag_store import Conflict, Listed, Missing, Store, Stored, StoreError, Unanswered

T = TypeVar("T")
R = TypeVar("R")

WORKERS = 8
MAX_WALK = 3_000  # manifests read to find out whether a version was live that the pointer has forgotten


class LostRace(StoreError):
    """Another version became live first."""


class Unknown(StoreError):
    """The commit was sent and nobody can say whether it arrived."""


@dataclass(frozen=True)
class Session:
    """Who works on which package, with the sources of chance and time given from outside.

    Args:
        store: the bucket.
        environment: its name.
        package: its name.
        publisher: who it is, for the manifest.
        source: the commit that the files are from, for the manifest.
        workers: requests under way at once; 1 keeps their order.
    """

    store: Store
    environment: str
    package: str
    publisher: str = ""
    source: str = ""
    new_version: Callable[[], str] = protocol.new_version
    new_nonce: Callable[[], str] = protocol.new_nonce
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))
    workers: int = WORKERS

    @property
    def prefix(self) -> str:
        """Prefix of the package's files."""
        return protocol.files_prefix(self.environment, self.package)

    def timestamp(self) -> str:
        """The time in ISO 8601, to the millisecond."""
        return self.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Do `work` on each item, `workers` at a time; the first error is raised once all have ended."""
        if self.workers == 1:
            return [work(item) for item in items]
        pool, wait = ThreadPoolExecutor(self.workers), True
        try:
            return list(pool.map(work, items))
        except KeyboardInterrupt:
            wait = False  # a request under way may take a minute
            raise
        finally:
            pool.shutdown(wait, cancel_futures=True)


@dataclass(frozen=True)
class Live:
    """What is live: the pointer, the ETag that the next one must replace, and the manifest it pins.

    `pointer` without `etag` is one that was deleted by hand: its history is built on, its object written anew.
    """

    pointer: Pointer | None = None
    etag: str | None = None
    manifest: Manifest | None = None
    ref: VersionRef | None = None  # of the manifest; not the pointer's when that one is damaged
    damage: str = ""  # what is wrong with pointer or manifest; the next version mends it

    @property
    def files(self) -> dict[str, File]:
        """The pinned files by path; none for a removed package."""
        return {} if self.manifest is None or self.removed else self.manifest.by_path

    @property
    def removed(self) -> bool:
        """Whether the package was removed."""
        return self.pointer is not None and self.pointer.removed

    @property
    def versions(self) -> tuple[str, ...]:
        """Versions that were ever live, newest first."""
        return self.pointer.live_versions if self.pointer else ()


@dataclass
class Survey:
    """The current objects under a package's prefix, and what each means."""

    current: dict[str, Listed] = field(default_factory=dict)
    stored: dict[str, Stored] = field(default_factory=dict)  # those that were asked for more than a listing tells
    meanings: dict[str, Meaning] = field(default_factory=dict)
    edits: dict[str, File] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # edits that break a rule: path -> reason
    deleted: tuple[str, ...] = ()  # live files whose object was deleted by hand: reported, never applied

    @property
    def orphans(self) -> tuple[str, ...]:
        """Objects of publishes that never became live."""
        return tuple(path for path, what in self.meanings.items() if what == "orphan")


# --- reading --------------------------------------------------------------------------------------------------


def read_live(session: Session) -> Live:
    """Read what is live.

    What was damaged by hand is stepped over, so that there is always a way back: the newest pointer in its object's own
    history that can be read, and the newest of its versions whose manifest can be. `damage` says what was wrong.

    Raises:
        Newer: the pointer, or what it pins, is of a newer schema: that is no damage, and must not be built on.
        ProtocolError: there is a pointer, and none that can be read in all its history.
        StoreError: the bucket could not be read.
    """
    key = protocol.pointer_key(session.environment, session.package)
    etag, damage = None, f"{key} was deleted by hand"
    try:
        data, stored = session.store.get(key, protocol.MAX_POINTER_BYTES)
    except Missing:
        pass
    else:
        etag = stored.etag
        live, damage = _read_version(session, data, etag, "")
        if live:
            return live
    past = session.store.past(key, protocol.MAX_PAST_POINTERS + 1)
    for version_id in [v.version_id for v in past if v.key == key and not v.deleted][: protocol.MAX_PAST_POINTERS]:
        data, _ = session.store.get(key, protocol.MAX_POINTER_BYTES, version_id)
        live, damage = _read_version(session, data, etag, damage)
        if live:
            return live
    if etag is None:
        return Live()
    raise ProtocolError(
        f"{key}: {damage}, and no older version of it can be read; delete that object, then publish from source"
    )


def _read_version(session: Session, data: bytes, etag: str | None, damage: str) -> tuple[Live | None, str]:
    try:
        pointer = protocol.decode_pointer(data, session.environment, session.package)
    except Newer:
        raise
    except ProtocolError as error:
        return None, damage or str(error)
    for ref in pointer.candidates:
        try:
            return Live(pointer, etag, read_manifest(session, ref), ref, damage), damage
        except Newer:
            raise
        except (Missing, ProtocolError) as error:
            damage = damage or str(error)
    return None, damage


def read_manifest(session: Session, ref: VersionRef) -> Manifest:
    """Read one manifest, held to the digest that pins it."""
    key = protocol.manifest_key(session.environment, session.package, ref.version)
    data, _ = session.store.get(key, protocol.MAX_MANIFEST_BYTES)
    return protocol.decode_manifest(data, session.environment, session.package, ref)


def versions(session: Session, live: Live) -> Iterable[Manifest]:
    """Yield the manifests from the live one back, following `previous`. Raises Missing where history was deleted."""
    manifest = live.manifest
    while manifest is not None:
        yield manifest
        manifest = read_manifest(session, manifest.previous) if manifest.previous else None


class Origins:
    """Whose the current objects are: of a version, of a publish that never became live, or of a person.

    Args:
        session: the package.
        live: what is live.
        pinned: the files of the version whose objects are none to wonder about.
    """

    def __init__(self, session: Session, live: Live, pinned: Mapping[str, File]) -> None:
        self._session = session
        self._live = live
        self._pinned = pinned
        self._manifests: dict[str, Manifest | None] = {}
        self._forgotten: set[str] | None = None

    def meaning(self, path: str, stored: Stored, same_digest: bool) -> Meaning:
        """What the object at `path` means (dag_protocol.meaning)."""
        file, versions = self._pinned.get(path), self._live.versions
        what = protocol.meaning(stored.version_id, same_digest, stored.tag, file, versions)
        if what != "orphan" or stored.tag is None:
            return what
        manifest = self._manifest(stored.tag)
        pinned = manifest.by_path.get(path) if manifest else None
        return protocol.meaning(
            stored.version_id,
            same_digest,
            stored.tag,
            file,
            versions,
            pinned,
            pinned is not None and self._was_live(stored.tag),
        )

    def _manifest(self, version: str) -> Manifest | None:
        """The manifest of a version that no pointer remembers, by its name alone."""
        if version not in self._manifests:
            self._manifests[version] = None
            with contextlib.suppress(Missing, ProtocolError):
                key = protocol.manifest_key(self._session.environment, self._session.package, version)
                data, _ = self._session.store.get(key, protocol.MAX_MANIFEST_BYTES)
                ref = VersionRef(version, protocol.sha256(data))
                self._manifests[version] = protocol.decode_manifest(
                    data, self._session.environment, self._session.package, ref
                )
        return self._manifests[version]

    def _was_live(self, version: str) -> bool:
        """Whether it was live before the oldest version that the pointer remembers."""
        if len(self._live.versions) < protocol.MAX_LIVE_VERSIONS:
            return False
        if self._forgotten is None:
            self._forgotten = set()
            with contextlib.suppress(Missing, ProtocolError):
                for manifest in islice(versions(self._session, self._live), MAX_WALK):
                    self._forgotten.add(manifest.version)
        return version in self._forgotten


def survey(session: Session, live: Live, listing: Mapping[str, Listed] | None = None, thorough: bool = True) -> Survey:
    """Say what each current object of the package means.

    Args:
        session: the package.
        live: what is live.
        listing: current objects by key, when the caller has them already.
        thorough: ask for the version id of objects that look like the live ones too (a publisher reuses none unseen).
    """
    keys = session.store.listing(session.prefix) if listing is None else listing
    found = Survey(
        current={key.removeprefix(session.prefix): entry for key, entry in keys.items() if not key.endswith("/")}
    )
    pinned = live.manifest.by_path if live.manifest else {}
    ask = [p for p, entry in found.current.items() if thorough or p not in live.files or entry.etag != pinned[p].etag]
    for path, stored in zip(ask, session.each(lambda p: session.store.head(session.prefix + p), ask), strict=True):
        if stored is None:  # deleted since the listing
            del found.current[path]
        else:
            found.stored[path] = stored
            found.current[path] = Listed(stored.etag, stored.size)
    origins = Origins(session, live, pinned)
    for path, entry in found.current.items():
        file, what = pinned.get(path), found.stored.get(path)
        same = file is not None and entry.etag == file.etag
        found.meanings[path] = "live" if what is None else origins.meaning(path, what, same)
    found.deleted = tuple(sorted(live.files.keys() - found.current.keys()))
    _read_edits(session, live, found)
    return found


def _read_edits(session: Session, live: Live, found: Survey) -> None:
    """Pin the edits by hand, and say of those that break a rule why. What equals the live bytes is no edit."""
    pinned = live.files

    def read(path: str) -> tuple[str, File | str | None]:
        stored = found.stored[path]
        limit = protocol.max_bytes(path)
        try:
            protocol.check_path(path)
            protocol.check_sizes({path: stored.size})
            data, _ = session.store.get(session.prefix + path, limit, stored.version_id)
            before = pinned.get(path)
            runs = before is not None and before.executable  # no tool that puts an object by hand says it
            file = File(path, stored.version_id, stored.etag, len(data), protocol.sha256(data), runs)
            if before and before.sha256 == file.sha256:
                return path, None
            protocol.check_sizes({path: len(data)})
            protocol.check_content(path, data)
        except (ProtocolError, Missing) as error:
            return path, str(error)
        return path, file

    for path, result in session.each(read, sorted(p for p, what in found.meanings.items() if what == "edit")):
        if isinstance(result, File):
            found.edits[path] = result
        elif result is None:
            found.meanings[path] = "live"
        else:
            found.refused[path] = result


# --- writing --------------------------------------------------------------------------------------------------


def commit(session: Session, live: Live, manifest: Manifest) -> Live:
    """Make `manifest` the live version: its document first, then the pointer, which is the commit.

    Raises:
        LostRace: another version became live since `live` was read.
        Unknown: no answer, and the pointer cannot be read back either.
    """
    data = manifest.encode()
    if len(data) > protocol.MAX_MANIFEST_BYTES:
        raise ProtocolError(
            f"the manifest would have {len(data):,} bytes, more than {protocol.MAX_MANIFEST_BYTES:,}: publish fewer files"
        )
    protocol.decode_manifest(
        data, session.environment, session.package, VersionRef(manifest.version, protocol.sha256(data))
    )
    key = protocol.manifest_key(session.environment, session.package, manifest.version)
    try:
        session.store.put(key, data)
    except (Conflict, Unanswered) as error:  # the answer to an earlier try may have been lost
        if _stored_document(session, key, error) != data:
            raise
    pointer = protocol.next_pointer(live.pointer, manifest, session.timestamp(), session.new_nonce())
    return move_pointer(session, live, pointer, manifest)


def _stored_document(session: Session, key: str, error: StoreError) -> bytes:
    """What is stored there; where nothing is, the error that made us look says more than its absence."""
    try:
        return session.store.get(key, protocol.MAX_MANIFEST_BYTES)[0]
    except Missing:
        raise error from None


def move_pointer(session: Session, live: Live, pointer: Pointer, manifest: Manifest) -> Live:
    """Put the pointer in the place of the one that was read. Raises as `commit` does."""
    key = protocol.pointer_key(session.environment, session.package)
    data = pointer.encode()
    try:
        try:
            stored = session.store.put(key, data, if_match=live.etag)
        except Unanswered:  # a second try is safe: if the first one arrived, it conflicts with itself
            stored = session.store.put(key, data, if_match=live.etag)
        return Live(pointer, stored.etag, manifest, pointer.ref)
    except (Conflict, Missing, Unanswered):
        return _read_back(session, pointer, manifest)


def _read_back(session: Session, ours: Pointer, manifest: Manifest) -> Live:
    """A conflict may be with ourselves: the answer was lost, and the retry met what the first try wrote."""
    try:
        now = read_live(session)
    except Unanswered as error:
        raise Unknown(
            f"version {ours.version} of {ours.package} was sent and no answer came: it may be live or not; "
            f"look with `airflow-dag-publisher show`, then publish again if it is not ({error})"
        ) from error
    if now.pointer and now.pointer.nonce == ours.nonce:
        return Live(ours, now.etag, manifest, ours.ref)
    if now.pointer and ours.version in now.versions and not ours.removed:
        return now  # ours was live already when somebody built on it
    if now.pointer is None or now.etag is None:
        raise LostRace(
            f"the pointer of {ours.package} was deleted while version {ours.version} was made; run the command again"
        )
    raise lost_race(ours.version, now)


def lost_race(version: str, now: Live) -> LostRace:
    """The error of a publisher that another one overtook."""
    by = f" by {now.manifest.publisher}" if now.manifest and now.manifest.publisher else ""
    return LostRace(
        f"version {now.versions[0]} became live first{by}; nothing of {version} is served; run the command again to go on top of it"
    )


def adopt(session: Session, live: Live, found: Survey) -> Live:
    """Make a version of the edits by hand in `found`, if there are any. A removed package stays removed."""
    if not found.edits or live.removed:
        return live
    files = live.files | found.edits
    protocol.check_paths(files)
    protocol.check_sizes({f.path: f.size for f in files.values()})
    return commit(session, live, manifest_of(session, live, files.values(), kind="adopt", publisher="edited by hand"))


def manifest_of(
    session: Session, live: Live, files: Iterable[File], kind: protocol.Kind, version: str | None = None,
    of: str | None = None, publisher: str | None = None,
) -> Manifest:  # fmt: skip
    """The manifest of a new version after the live one."""
    return Manifest(
        environment=session.environment,
        package=session.package,
        version=version or session.new_version(),
        files=tuple(sorted(files, key=lambda f: f.path)),
        kind=kind,
        previous=live.ref,
        of=of,
        created=session.timestamp(),
        publisher=session.publisher if publisher is None else publisher,
        source=session.source,
    )


def remove_pointer(session: Session, live: Live) -> Live:
    """Say in the pointer that the package is removed: dag-sync takes it away, and leftovers are never adopted."""
    assert live.pointer and live.manifest
    pointer = replace(live.pointer, removed=True, updated=session.timestamp(), nonce=session.new_nonce())
    return move_pointer(session, live, pointer, live.manifest)
