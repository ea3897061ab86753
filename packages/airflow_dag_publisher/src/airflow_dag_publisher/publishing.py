"""How a version goes live, `make_live`, and how a package goes, `remove`. Interrupted anywhere, the version before stays live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import dag_package as package_
import dag_protocol as protocol
from dag_package import Live, Session, Survey
from dag_protocol import Content, File, Manifest, ProtocolError
from dag_store import Conflict, Missing, StoreError

ATTEMPTS = 10  # each but the first follows a write of somebody else's


@dataclass(frozen=True)
class Wanted:
    """A file as it shall be.

    Args:
        sha256: of the bytes.
        size: in bytes.
        load: returns the bytes; called only when they must be sent.
        executable: whether it can be run; None: as in the live version, since the file system does not say.
    """

    sha256: str
    size: int
    load: Callable[[], bytes]
    executable: bool | None = False

    def is_executable(self, live: File | None) -> bool:
        """Whether it can be run, given the file that is live."""
        if self.executable is None:
            return live is not None and live.executable
        return self.executable


@dataclass
class Outcome:
    """What was done, for people and for `--output json`."""

    live: Live
    changed: bool
    adopted: str | None = None  # the version made of edits by hand that were found on the way
    sent: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    refused_edits: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, str] = field(default_factory=dict)  # versions that would not be served, and why

    @property
    def manifest(self) -> Manifest:
        """The manifest that is live now."""
        assert self.live.manifest
        return self.live.manifest


class NothingToDo(StoreError):
    """The command has no meaning in the state that the package is in."""


class _Moved(Exception):
    """Somebody wrote into the package meanwhile: look again, and adopt what is an edit by hand."""


def make_live(
    session: Session,
    wanted: Callable[[Live], Mapping[str, Wanted]],
    kind: protocol.Kind = "publish",
    of: Callable[[Live], str | None] = lambda _: None,
    progress: Callable[[str, int], None] = lambda _path, _size: None,
) -> Outcome:
    """Make a version of the `wanted` files live, after a version of its own for the edits by hand.

    Args:
        session: the package.
        wanted: the files by path, given what is live (edits by hand included).
        kind: for the manifest.
        of: the version whose contents come back, given what is live.
        progress: called with path and size after each file sent.

    Raises:
        dag_package.LostRace: another publisher's version became live first.
        dag_package.Unknown: the commit's answer was lost.
        ProtocolError: the files break a rule; nothing was changed.
        StoreError: the bucket could not be used; what was live still is.
    """
    started: Live | None = None
    mine: dict[str, File] = {}
    version = session.new_version()
    outcome = Outcome(Live(), changed=True)
    for _ in range(ATTEMPTS):
        live = package_.read_live(session)
        _refuse_if_overtaken(session, started, live, version)
        found = package_.survey(session, live)
        outcome.refused_edits = found.refused
        try:
            live, found = _adopt_first(session, live, found, outcome)
        except package_.LostRace:
            continue  # the adopter, or another publisher, was faster with the same edits
        started = live
        files = dict(wanted(live))
        protocol.check_paths(files)
        protocol.check_sizes({path: want.size for path, want in files.items()})
        if kind != "repair" and _is_live(live, found, files):
            outcome.live, outcome.changed = live, outcome.adopted is not None
            return outcome
        try:
            pinned = _send(session, version, live, found, files, mine, outcome, progress)
            _check_all_ours(session, live, found, pinned)
        except _Moved:
            continue
        manifest = package_.manifest_of(session, live, pinned.values(), kind, version, of(live))
        outcome.live = package_.commit(session, live, manifest)
        return outcome
    raise StoreError(
        f"package {session.package} was written {ATTEMPTS} times while this ran; run the command again when it is quiet"
    )


def remove(session: Session) -> Outcome:
    """Take a package away: first in the pointer, then its objects get delete markers. `restore` brings it back."""
    live = package_.read_live(session)
    if live.pointer is None:
        raise NothingToDo(
            f"there is no package {session.package} in environment {session.environment}: `list` shows what is there"
        )
    outcome = Outcome(live, changed=not live.removed)
    found = package_.survey(session, live)
    if live.removed and not found.current:
        raise NothingToDo(f"package {session.package} is removed already: `restore` brings it back")
    outcome.refused_edits = found.refused
    live, found = _adopt_first(session, live, found, outcome)
    outcome.live = live if live.removed else package_.remove_pointer(session, live)
    _delete(session, {p: entry.etag for p, entry in found.current.items()}, outcome, tolerant=True)
    return outcome


def _refuse_if_overtaken(session: Session, started: Live | None, now: Live, version: str) -> None:
    """Tell a publisher that another one won while it ran. Adopted edits are no rival: they are built on."""
    if started is None:
        return
    for manifest in package_.versions(session, now):
        if manifest.version in started.versions[:1]:
            return
        if manifest.kind != "adopt":
            raise package_.lost_race(version, now)


def _adopt_first(session: Session, live: Live, found: Survey, outcome: Outcome) -> tuple[Live, Survey]:
    """Commit the edits by hand before the first write: an interrupted publish must not take them away."""
    adopted = package_.adopt(session, live, found)
    if adopted is live:
        return live, found
    assert adopted.manifest
    outcome.adopted = adopted.manifest.version
    return adopted, found


def _is_live(live: Live, found: Survey, files: Mapping[str, Wanted]) -> bool:
    """Whether publishing would change nothing: same contents live, and every current object the pinned one."""
    pinned = live.files
    return (
        live.pointer is not None
        and live.etag is not None
        and not live.damage
        and not live.removed
        and {p: Content(w.sha256, w.is_executable(pinned.get(p))) for p, w in files.items()}
        == {p: f.content for p, f in pinned.items()}
        and {p: s.version_id for p, s in found.stored.items()} == {p: f.version_id for p, f in pinned.items()}
    )


def _send(
    session: Session, version: str, live: Live, found: Survey, files: Mapping[str, Wanted], mine: dict[str, File],
    outcome: Outcome, progress: Callable[[str, int], None],
) -> dict[str, File]:  # fmt: skip
    """Put what is not there yet, set delete markers on what left. Return the files of the new version, pinned."""
    pinned = live.files

    def send(item: tuple[str, Wanted]) -> File:
        path, want = item
        runs = want.is_executable(pinned.get(path))
        current = found.stored.get(path)
        for file in (pinned.get(path), mine.get(path)):
            if file and current and current.version_id == file.version_id and file.sha256 == want.sha256:
                return replace(file, executable=runs)
        data = want.load()
        if protocol.sha256(data) != want.sha256:
            raise ProtocolError(f"{path}: changed while it was being published; run the command again")
        try:
            stored = session.store.put(
                session.prefix + path, data, tag=version, if_match=current.etag if current else None
            )
        except (Conflict, Missing):
            raise _Moved from None
        mine[path] = File(path, stored.version_id, stored.etag, stored.size, want.sha256, runs)
        outcome.sent.append(path)
        progress(path, want.size)
        return mine[path]

    result = {file.path: file for file in session.each(send, sorted(files.items()))}
    leaving = {p: e.etag for p, e in found.current.items() if p not in files and p not in found.refused}
    _delete(session, leaving, outcome)
    return result


def _delete(session: Session, etags: Mapping[str, str], outcome: Outcome, tolerant: bool = False) -> None:
    def delete(path: str) -> None:
        try:
            session.store.delete(session.prefix + path, etags[path])
        except (Conflict, Missing):
            if not tolerant:
                raise _Moved from None
        else:
            outcome.deleted.append(path)

    session.each(delete, sorted(etags))


def _check_all_ours(session: Session, live: Live, found: Survey, pinned: Mapping[str, File]) -> None:
    """Look once more before the commit: an edit that came meanwhile is adopted first.

    Objects of another publisher in flight are left alone: versions are pinned, and the pointer says who won. So is what
    somebody put there that can be no version, since it breaks a rule.
    """
    now = session.store.listing(session.prefix)
    strange = {
        path
        for path in {k.removeprefix(session.prefix) for k in now if not k.endswith("/")} | set(pinned)
        if path not in pinned
        or session.prefix + path not in now
        or now[session.prefix + path].etag != pinned[path].etag
    }
    origins = package_.Origins(session, live, pinned)
    for path in sorted(strange):
        stored = session.store.head(session.prefix + path)
        if stored is None and path in pinned:
            raise _Moved
        known = path in found.refused and path not in pinned and found.stored[path] == stored
        if stored and not known and origins.meaning(path, stored, False) == "edit":
            raise _Moved
