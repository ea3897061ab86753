"""Which kept bytes no promise needs any more. They get an object tag, and the bucket's rule deletes by that tag alone.

S3 does not know what a package's version is. A rule by age and number deletes the bytes of the live version as soon as
enough publishes ended half-way on top of them. So nothing goes without the tag, and it is set here on nothing that a
promised version pins: the live one, the newest `versions`, and all that were live within the last `days`. Whatever goes
wrong here, bytes stay.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Protocol

import dag_package
import dag_protocol as protocol
from dag_package import Live, Session
from dag_protocol import Manifest, ProtocolError
from dag_store import Missing, PastVersion, Store

MAX_PINNED = 200_000  # version ids held at once: 20 MB
MAX_VERSIONS = 10_000  # read one after another, so some minutes
PORTION = 10_000  # objects between two looks at the documents
PERIOD = 24 * 3600.0  # seconds between two looks at a package


class RetentionStore(Store, Protocol):
    """What retention needs of a bucket beside the calls of publisher and adopter."""

    def each_past(self, prefix: str) -> Iterator[PastVersion]:
        """Yield every version under `prefix`, a page at a time."""

    def expire(self, key: str, version_id: str) -> None:
        """Set the tag by which the bucket's rule deletes."""

    def keep(self, key: str, version_id: str) -> None:
        """Take the tag away, where it is: a copy by hand of an expired object has it."""


@dataclass(frozen=True)
class Retention:
    """What the bucket promises, as Terraform wrote it into the environment's marker.

    Args:
        days: a version can be rolled back to for so long after it was replaced; 0: for ever.
        versions: so many of the newest can be rolled back to whatever their age.
    """

    days: int
    versions: int


def read_retention(store: Store, environment: str) -> Retention:
    """What the environment's marker says; nothing expires where it says nothing. Raises StoreError."""
    data, _ = store.get(protocol.marker_key(environment), protocol.MAX_POINTER_BYTES)
    try:
        told = json.loads(data)["retention"]
        return Retention(int(told["days"]), int(told["versions"]))
    except (ValueError, KeyError, TypeError):
        return Retention(0, 0)


def expire(session: Session, store: RetentionStore, retention: Retention) -> int:
    """Tag what may go of one package. Return how many objects got the tag.

    Raises:
        ProtocolError: what is promised cannot be known, since the history is damaged or too long; nothing more was tagged.
        StoreError: the bucket could not be read or written.
    """
    if retention.days == 0:
        return 0
    oldest = session.now() - timedelta(days=retention.days)
    past = (v for v in store.each_past(session.prefix) if not v.latest and not v.deleted)
    promised: Promised | None = None
    tagged = 0
    # A portion is listed before the documents are read: what became live in between is in these.
    while portion := list(islice(past, PORTION)):
        live = dag_package.read_live(session)
        if live.pointer is None or live.damage:
            break
        if promised is None or promised.nonce != live.pointer.nonce:
            promised = _promised(session, live, retention, oldest)
        for version in portion:
            if version.version_id in promised.may_have_the_tag:
                store.keep(version.key, version.version_id)
        pinned = promised.pinned
        gone = [v for v in portion if v.version_id not in pinned and v.modified is not None and v.modified < oldest]
        session.each(lambda v: store.expire(v.key, v.version_id), gone)
        tagged += len(gone)
    return tagged


@dataclass(frozen=True)
class Promised:
    """What promised versions pin."""

    nonce: str  # of the pointer that it was read from
    pinned: frozenset[str]
    may_have_the_tag: frozenset[str]
    """Version ids that a person put there: a copy has the tags of what it was copied. Ours never had one."""


def _promised(session: Session, live: Live, retention: Retention, oldest: datetime) -> Promised:
    pinned: set[str] = set()
    by_hand: set[str] = set()
    last: Manifest | None = None
    assert live.pointer
    try:
        for number, manifest in enumerate(dag_package.versions(session, live)):
            if number >= retention.versions and last is not None and _before(last.created, oldest):
                break
            ids = {file.version_id for file in manifest.files}
            if manifest.kind == "adopt":
                by_hand |= ids
            pinned |= ids
            if number >= MAX_VERSIONS or len(pinned) > MAX_PINNED:
                raise ProtocolError(
                    f"{session.package}: more than {MAX_VERSIONS:,} versions or {MAX_PINNED:,} objects are promised; nothing of it expires"
                )
            last = manifest
    except Missing as error:
        raise ProtocolError(f"{session.package}: its history has a gap, so nothing of it expires: {error}") from None
    if last is not None:  # what the oldest one pins may be from an edit by hand before it
        by_hand |= {file.version_id for file in last.files}
    return Promised(live.pointer.nonce, frozenset(pinned), frozenset(by_hand))


def _before(created: str, oldest: datetime) -> bool:
    """Whether the version that was made then replaced its predecessor long enough ago. An unreadable time is none."""
    try:
        return datetime.fromisoformat(created) < oldest
    except (ValueError, TypeError):
        return False


class Round:
    """Looks at each package once a day, one at a turn.

    Args:
        store: the bucket.
        environment: its name.
    """

    def __init__(self, store: RetentionStore, environment: str) -> None:
        self.store = store
        self.environment = environment
        self.packages: list[str] = []  # set by who knows them
        self._looked: dict[str, float] = {}

    def turn(self) -> tuple[str, int] | None:
        """Look at the package that waits longest. Return its name and how much of it expires; None: none is due.

        Raises:
            ProtocolError, StoreError: as `expire` does; the package has its next turn tomorrow.
        """
        now = time.monotonic()
        due = [p for p in self.packages if now - self._looked.get(p, -PERIOD) >= PERIOD]
        if not due:
            return None
        package = min(due, key=lambda p: self._looked.get(p, -PERIOD))
        self._looked[package] = now
        session = Session(self.store, self.environment, package)
        return package, expire(session, self.store, read_retention(self.store, self.environment))
