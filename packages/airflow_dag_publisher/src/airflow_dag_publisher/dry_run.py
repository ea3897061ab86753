"""A bucket to try things on: reads go to the real one, writes are only remembered."""

from __future__ import annotations

import hashlib

from dag_store import Conflict, Listed, Missing, PastVersion, Store, Stored


class DryRunStore:
    """A Store over another one that it never writes to.

    Args:
        store: the real one.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._written: dict[str, tuple[bytes, Stored] | None] = {}
        self.bucket = getattr(store, "bucket", "")

    def listing(self, prefix: str) -> dict[str, Listed]:
        """See Store."""
        found = self._store.listing(prefix)
        for key, written in self._written.items():
            if key.startswith(prefix):
                found.pop(key, None)
                if written:
                    found[key] = Listed(written[1].etag, written[1].size)
        return found

    def page(self, prefix: str, after: str) -> tuple[dict[str, Listed], bool]:
        """See Store."""
        found = sorted(item for item in self.listing(prefix).items() if item[0] > after)
        return dict(found[:1000]), len(found) > 1000

    def past(self, prefix: str, limit: int | None = None) -> list[PastVersion]:
        """See Store."""
        return self._store.past(prefix, limit)

    def head(self, key: str) -> Stored | None:
        """See Store."""
        if key in self._written:
            written = self._written[key]
            return written[1] if written else None
        return self._store.head(key)

    def get(self, key: str, limit: int, version_id: str | None = None) -> tuple[bytes, Stored]:
        """See Store."""
        written = self._written.get(key)
        if written and version_id in (None, written[1].version_id):
            return written[0][: limit + 1], written[1]
        if version_id is None and key in self._written:
            raise Missing(f"{key} does not exist")
        return self._store.get(key, limit, version_id)

    def put(self, key: str, data: bytes, tag: str | None = None, if_match: str | None = None) -> Stored:
        """See Store."""
        self._check(key, if_match)
        etag = f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'
        stored = Stored(f"dry-run-{len(self._written)}", etag, len(data), tag)
        self._written[key] = (data, stored)
        return stored

    def delete(self, key: str, if_match: str) -> None:
        """See Store."""
        self._check(key, if_match)
        self._written[key] = None

    def _check(self, key: str, if_match: str | None) -> None:
        current = self.head(key)
        if (current.etag if current else None) != if_match:
            raise Conflict(f"{key} was written meanwhile")
