"""Going back to an older version: which one, and how its contents become a new version."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import dag_package as package_
import dag_protocol as protocol
from dag_package import Live, Session
from dag_protocol import File, Manifest, ProtocolError
from dag_store import Missing

from .publishing import NothingToDo, Outcome, Wanted, make_live

Judge = Callable[[Session, Manifest], str | None]
"""Says why dag-sync would refuse a version, or None."""


def rollback(
    session: Session,
    to: str | None = None,
    progress: Callable[[str, int], None] = lambda _p, _s: None,
    judge: Judge = lambda _s, _m: None,
) -> Outcome:
    """Make a new version with the contents of an older one that works.

    Args:
        session: the package.
        to: that version; None: the newest one before the live one with other contents that dag-sync would serve. Of a
            rollback, that is one before its original, so that each further rollback goes one further back.
        progress: called with path and size after each file sent.
        judge: finds out whether dag-sync would serve a version.

    Raises:
        ProtocolError: dag-sync would refuse version `to`.
        NothingToDo: there is no such version.
    """
    target: list[Manifest] = []
    passed_over: dict[str, str] = {}

    def wanted(live: Live) -> Mapping[str, Wanted]:
        if to:
            target[:] = [find_version(session, live, to)]
            reason = judge(session, target[0])
            if reason:
                raise ProtocolError(f"version {to} would not be served: {reason}; `versions` lists the others")
        else:
            target[:] = [newest_good(session, _versions_before(session, live), judge, passed_over)]
        return contents(session, target[0].by_path)

    outcome = make_live(session, wanted, "rollback", lambda _: target[0].version, progress)
    outcome.passed_over = passed_over
    return outcome


def newest_good(session: Session, manifests: Iterable[Manifest], judge: Judge, passed_over: dict[str, str]) -> Manifest:
    """The first of `manifests` that dag-sync would serve; the others go into `passed_over`. Raises NothingToDo."""
    for manifest in manifests:
        try:
            reason = judge(session, manifest)
        except Missing as error:
            reason = str(error)
        if reason is None:
            return manifest
        passed_over[manifest.version] = reason
    version, reason = next(iter(passed_over.items()))
    raise NothingToDo(
        f"no older version of {session.package} would be served; the newest, {version}: {reason}; publish from source"
    )


def _versions_before(session: Session, live: Live) -> Iterator[Manifest]:
    """The versions before the live one with other contents, newest first; at least one, or NothingToDo."""
    if live.manifest is None:
        raise NothingToDo(
            f"package {session.package} was never published in {session.environment}: there is nothing to go back to"
        )
    start = live.manifest
    if start.kind == "rollback" and start.of:
        start = find_version(session, live, start.of)
    served = {path: file.content for path, file in live.manifest.by_path.items()}
    found = False
    while start.previous is not None:
        start = package_.read_manifest(session, start.previous)
        if {path: file.content for path, file in start.by_path.items()} != served:
            found = True
            yield start
    if not found:
        raise NothingToDo(
            f"no version of {session.package} before {live.versions[0]} has other contents: there is nothing to go back to"
        )


def find_version(session: Session, live: Live, version: str) -> Manifest:
    """The manifest of a version that was live. Raises NothingToDo for one that never was."""
    try:
        protocol.check_version(version)
    except ProtocolError as error:
        raise NothingToDo(str(error)) from None
    for manifest in package_.versions(session, live):
        if manifest.version == version:
            return manifest
    raise NothingToDo(
        f"version {version} of {session.package} was never live in {session.environment}: `versions` lists those that were"
    )


def contents(session: Session, files: Mapping[str, File]) -> dict[str, Wanted]:
    """The bytes of old versions. They are sent anew with our tag: a copy that kept the old one would look made by hand."""

    def load(file: File) -> bytes:
        try:
            data, _ = session.store.get(session.prefix + file.path, protocol.max_bytes(file.path), file.version_id)
        except Missing:
            raise Missing(
                f"the bytes of {file.path} (version id {file.version_id}) are gone from bucket {getattr(session.store, 'bucket', '')}: "
                "expired or deleted; choose a newer version, or publish again from its source"
            ) from None
        return data

    return {p: Wanted(f.sha256, f.size, partial(load, f), f.executable) for p, f in files.items()}
