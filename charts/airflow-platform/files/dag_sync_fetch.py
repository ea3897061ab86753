"""What dag-sync reads of the bucket: pointers, manifests, and files, each held to the SHA-256 that is pinned."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator
from pathlib import Path

import dag_protocol as protocol
from dag_protocol import File, Manifest, ProtocolError, VersionRef
from dag_store import Missing, S3Store, Unanswered

CHUNK = 256 * 1024


class PollError(Exception):
    """The listing cannot be trusted: nothing is changed."""


class Late(Exception):
    """A package used up its time for this turn."""


class Doubtful(ProtocolError):
    """What was read is not what is pinned: gone, or garbled on the way. It is looked at again; the next pod might see better."""


class Bucket:
    """What dag-sync reads of the bucket. Keys are built from names, never taken from a document."""

    def __init__(self, store: S3Store, environment: str) -> None:
        self.store = store
        self.environment = environment

    def pointers(self) -> dict[str, str]:
        """ETags of all pointers by package name: one request for 999 packages. Raises PollError, StoreError."""
        prefix = protocol.pointers_prefix(self.environment)
        listing = self.store.listing(prefix)
        if protocol.marker_key(self.environment) not in listing:
            raise PollError(
                f"bucket {self.store.bucket} has no {protocol.marker_key(self.environment)}: emptied, mistyped, or not "
                "made by Terraform; what is there stays"
            )
        # Folders that a console makes, and what lies below one, are no pointers.
        names = {key: key.removeprefix(prefix).removesuffix(".json") for key in listing if key.endswith(".json")}
        return {name: listing[key].etag for key, name in names.items() if "/" not in name and name != protocol.MARKER}

    def pointer(self, package: str) -> tuple[bytes, str]:
        """The pointer's document and its ETag."""
        data, stored = self.store.get(protocol.pointer_key(self.environment, package), protocol.MAX_POINTER_BYTES)
        return data, stored.etag

    def past_pointers(self, package: str, deadline: float) -> Iterator[bytes]:
        """The pointer's documents before the current one, newest first, so many at most. Raises StoreError, Late."""
        key = protocol.pointer_key(self.environment, package)
        past = self.store.past(key, protocol.MAX_PAST_POINTERS)
        for one in [v for v in past if v.key == key and not v.deleted and not v.latest][: protocol.MAX_PAST_POINTERS]:
            if time.monotonic() > deadline:
                raise Late
            yield self.store.get(key, protocol.MAX_POINTER_BYTES, one.version_id)[0]

    def manifest(self, package: str, ref: VersionRef) -> tuple[Manifest, bytes]:
        """The manifest that the pointer pins, and the document that says it. Raises ProtocolError, StoreError."""
        key = protocol.manifest_key(self.environment, package, ref.version)
        try:
            data, _ = self.store.get(key, protocol.MAX_MANIFEST_BYTES)
        except Missing:
            raise Doubtful(f"the manifest of {ref.version} does not exist") from None
        if protocol.sha256(data) != ref.manifest_sha256:
            raise Doubtful(f"the manifest of {ref.version} is not the one that the pointer pins (SHA-256 differs)")
        return protocol.decode_manifest(data, self.environment, package, ref), data

    def fetch(self, package: str, file: File, target: Path, deadline: float = math.inf) -> None:
        """Write one pinned file to disk, in chunks, by a rename.

        Raises:
            Doubtful: it is not what is pinned.
            Late: the deadline (monotonic) passed.
            StoreError: the bucket could not be read.
        """
        try:
            self._fetch(package, file, target, deadline)
        except Doubtful:  # garbled on the way, perhaps: look twice before another version is served
            self._fetch(package, file, target, deadline)

    def _fetch(self, package: str, file: File, target: Path, deadline: float) -> None:
        key = protocol.files_prefix(self.environment, package) + file.path
        part = target.with_name(target.name + ".part")
        digest, size = hashlib.sha256(), 0
        with part.open("wb") as out:
            try:
                for chunk in self.store.stream(key, file.version_id, CHUNK):
                    size += len(chunk)
                    if size > file.size:
                        break
                    if time.monotonic() > deadline:
                        raise Late
                    digest.update(chunk)
                    out.write(chunk)
            except Missing:
                raise Doubtful(
                    f"the bytes of {file.path} are gone from the bucket (version id {file.version_id})"
                ) from None
        if size < file.size:
            raise Unanswered(f"{key} was cut off at {size:,} of {file.size:,} bytes")
        if size > file.size or digest.hexdigest() != file.sha256:
            raise Doubtful(f"{file.path} is not what the manifest pins")
        part.rename(target)
