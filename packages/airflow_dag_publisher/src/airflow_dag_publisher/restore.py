"""Bringing back what was deleted, `restore`, and making the live version's objects the current ones, `repair`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import dag_package as package_
from dag_package import Live, Session

from .publishing import NothingToDo, Outcome, Wanted, make_live, remove
from .rollback import Judge, contents, newest_good


def restore(
    session: Session,
    paths: tuple[str, ...] = (),
    progress: Callable[[str, int], None] = lambda _p, _s: None,
    judge: Judge = lambda _s, _m: None,
) -> Outcome:
    """Bring back what was deleted: the live version's objects, a removed package, or single files that left earlier.

    Args:
        session: the package.
        paths: files to bring back from the newest version that has them; none: everything that is live, or was when
            the package was removed; where dag-sync would refuse that, the newest version before it that works.
        progress: called with path and size after each file sent.
        judge: finds out whether dag-sync would serve a version.
    """
    passed_over: dict[str, str] = {}
    origin: list[str] = []

    def wanted(live: Live) -> Mapping[str, Wanted]:
        if live.manifest is None:
            raise NothingToDo(
                f"package {session.package} was never published in {session.environment}: there is nothing to restore"
            )
        origin[:] = live.versions[:1]
        if live.removed and not paths:
            good = newest_good(session, package_.versions(session, live), judge, passed_over)
            origin[:] = [good.version]
            return contents(session, good.by_path)
        files = live.manifest.by_path
        missing = set(paths) - files.keys()
        for manifest in package_.versions(session, live):
            for path in missing & manifest.by_path.keys():
                files[path] = manifest.by_path[path]
            missing -= manifest.by_path.keys()
            if not missing:
                break
        if missing:
            raise NothingToDo(
                f"no version of {session.package} has {', '.join(sorted(missing))}: `show VERSION` lists what each one has"
            )
        return contents(session, files)

    outcome = make_live(session, wanted, "restore", lambda _: origin[0], progress)
    outcome.passed_over = passed_over
    return outcome


def repair(session: Session, progress: Callable[[str, int], None] = lambda _p, _s: None) -> Outcome | None:
    """Make every current object the live version's again. Returns None when there is nothing to repair.

    A live version whose objects are not current is served all the same, until expiry deletes them: a leftover of an
    interrupted or lost publish, of a deletion by hand, or of a pointer deleted by hand.
    """
    live = package_.read_live(session)
    if live.manifest is None:
        raise NothingToDo(
            f"package {session.package} was never published in {session.environment}: there is nothing to repair"
        )
    found = package_.survey(session, live)
    if live.removed:
        if not found.current:
            return None
        return remove(session)
    pinned = {p: f.version_id for p, f in live.files.items()}
    if not live.damage and {p: s.version_id for p, s in found.stored.items()} == pinned:
        return None
    return make_live(session, lambda now: contents(session, now.files), "repair", lambda now: now.versions[0], progress)
