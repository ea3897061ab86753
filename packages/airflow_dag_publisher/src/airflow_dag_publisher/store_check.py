"""Whether a store keeps what the protocol builds on: conditions, versions, and a listing that shows what was just written."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from dag_store import Conflict, Store, Stored, StoreError, Unversioned

PROBE = "_probe-"  # and a number of the run; among manifests, which are named by version: nobody reads it, and a publisher may write it


@dataclass(frozen=True)
class Check:
    """One thing that a store must do."""

    what: str
    problem: str = ""


def check_store(store: Store, prefix: str) -> list[Check]:
    """Try each on an object of our own. It stays: a publisher may delete no manifest.

    Args:
        store: the bucket.
        prefix: of manifests that the credentials may write.

    Raises:
        StoreError: the store cannot be asked at all, or may not be written to.
    """
    key = f"{prefix}{PROBE}{secrets.token_hex(4)}"
    try:
        before = _put(store, key, b"0", None)
    except Unversioned as error:
        return [Check("keep versions", str(error))]
    checks = [
        _refused("create only where nothing is (If-None-Match: *)", lambda: store.put(key, b"1")),
        _refused("replace only what was seen (If-Match)", lambda: store.put(key, b"2", if_match='"of nobody"')),
    ]
    now = store.head(key)
    after = _put(store, key, b"3", now.etag if now else None)
    shown = store.listing(key).get(key)
    kept = store.get(key, 1024, before.version_id)[0]
    return [
        *checks,
        Check("replace what was seen"),
        Check("show at once what was written", "" if shown and shown.etag == after.etag else "a listing shows what was there before"),
        Check("keep versions", "" if kept == b"0" else "what was replaced cannot be read any more"),
    ]  # fmt: skip


def refuse_unfit(store: Store, prefix: str) -> None:
    """Raise StoreError that names what a store lacks."""
    missing = [check for check in check_store(store, prefix) if check.problem]
    if missing:
        told = "; ".join(f"it does not {check.what}: {check.problem}" for check in missing)
        raise StoreError(
            f"this store cannot be published to, since versions would be lost: {told}; docs/reference/stores.md"
        )


def _put(store: Store, key: str, data: bytes, if_match: str | None) -> Stored:
    """Put; a conflict is with ourselves, where the answer to a first try was lost."""
    try:
        return store.put(key, data, if_match=if_match)
    except Conflict:
        stored = store.head(key)
        if stored is None:
            raise
        return stored


def _refused(what: str, call: Callable[[], object]) -> Check:
    try:
        call()
    except Conflict:
        return Check(what)
    except StoreError as error:
        return Check(what, str(error))
    return Check(what, "the condition is ignored")
