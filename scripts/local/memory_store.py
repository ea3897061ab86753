"""A versioned bucket in memory, with S3's conditions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dag_protocol as protocol
from dag_store import Conflict, Listed, Missing, PastVersion, Stored

ENVIRONMENT = "dev"
MARKER = protocol.marker_key(ENVIRONMENT)


@dataclass(frozen=True)
class Version:
    """One version of an object; `data` None is a delete marker."""

    version_id: str
    data: bytes | None
    tag: str | None = None


def etag(data: bytes) -> str:
    """The ETag that S3 gives to a single-part object."""
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


@dataclass
class MemoryStore:
    """The Store protocol on a dict of histories, oldest version first."""

    objects: dict[str, tuple[Version, ...]] = field(default_factory=dict)
    bucket: str = "memory"

    def fork(self) -> MemoryStore:
        """A copy that can go its own way."""
        return MemoryStore(dict(self.objects), self.bucket)

    def current(self, key: str) -> Version | None:
        """The current version, or None."""
        last = self.objects.get(key, (None,))[-1]
        return last if last is not None and last.data is not None else None

    def write(self, key: str, data: bytes | None, tag: str | None = None) -> Version:
        """Add a version without any condition, as a person with `aws s3 cp` does."""
        history = self.objects.get(key, ())
        # The id depends on this object's history alone: schedules that differ in nothing else end in one state.
        name = hashlib.md5(repr((key, len(history), data, tag)).encode(), usedforsecurity=False).hexdigest()
        version = Version(name, data, tag)
        self.objects[key] = (*history, version)
        return version

    def listing(self, prefix: str) -> dict[str, Listed]:
        """See dag_store.Store."""
        found = ((key, self.current(key)) for key in sorted(self.objects) if key.startswith(prefix))
        return {key: Listed(etag(v.data), len(v.data)) for key, v in found if v and v.data is not None}

    def page(self, prefix: str, after: str) -> tuple[dict[str, Listed], bool]:
        """See dag_store.Store."""
        found = {key: entry for key, entry in self.listing(prefix).items() if key > after}
        return dict(list(found.items())[:1000]), len(found) > 1000

    def past(self, prefix: str, limit: int | None = None) -> list[PastVersion]:
        """See dag_store.Store."""
        return [
            PastVersion(key, v.version_id, n == 0, v.data is None)
            for key in sorted(self.objects)
            if key.startswith(prefix)
            for n, v in enumerate(reversed(self.objects[key]))
        ]

    def head(self, key: str) -> Stored | None:
        """See dag_store.Store."""
        version = self.current(key)
        return _stored(version) if version else None

    def get(self, key: str, limit: int, version_id: str | None = None) -> tuple[bytes, Stored]:
        """See dag_store.Store."""
        if version_id is None:
            version = self.current(key)
        else:
            version = next((v for v in self.objects.get(key, ()) if v.version_id == version_id), None)
        if version is None or version.data is None:
            raise Missing(f"{key} {version_id or ''} does not exist")
        return version.data[: limit + 1], _stored(version)

    def put(self, key: str, data: bytes, tag: str | None = None, if_match: str | None = None) -> Stored:
        """See dag_store.Store."""
        self._check(key, if_match)
        return _stored(self.write(key, data, tag))

    def delete(self, key: str, if_match: str) -> None:
        """See dag_store.Store."""
        self._check(key, if_match)
        self.write(key, None)

    def _check(self, key: str, if_match: str | None) -> None:
        version = self.current(key)
        if (etag(version.data) if version and version.data is not None else None) != if_match:
            raise Conflict(f"{key} was written meanwhile")


def _stored(version: Version) -> Stored:
    assert version.data is not None
    return Stored(version.version_id, etag(version.data), len(version.data), version.tag)


class Memory(MemoryStore):
    """The model's bucket with the environment's marker, and with the streams that dag-sync reads."""

    def __init__(self, objects: dict[str, Any] | None = None, bucket: str = "memory") -> None:
        super().__init__(objects or {}, bucket)
        if MARKER not in self.objects:
            self.write(MARKER, b"{}")

    def stream(self, key: str, version_id: str, chunk: int) -> Iterator[bytes]:
        """See S3Store."""
        data, _ = self.get(key, 1 << 40, version_id)
        for start in range(0, len(data), chunk):
            yield data[start : start + chunk]
