"""Packages in a bucket for tests: published as the tool does, edited as people do, and broken as an attacker would."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import dag_protocol as protocol
from airflow_dag_publisher import publishing
from airflow_dag_publisher.publishing import Wanted
from dag_package import Session
from dag_store import S3Store
from scripts.local.memory_store import ENVIRONMENT, MemoryStore

Store = MemoryStore | S3Store
Files = Mapping[str, bytes]


def session(store: Store, package: str = "sales") -> Session:
    """A session of a publisher named `test`."""
    return Session(store, ENVIRONMENT, package, publisher="test")


def wanted(files: Files, executable: Collection[str] = ()) -> dict[str, Wanted]:
    """Files as the publisher takes them; those of `executable` can be run."""

    def one(path: str, data: bytes) -> Wanted:
        return Wanted(protocol.sha256(data), len(data), lambda: data, path in executable)

    return {path: one(path, data) for path, data in files.items()}


def publish(store: Store, files: Files, package: str = "sales", executable: Collection[str] = ()) -> str:
    """Make `files` the live version; return its name."""
    return publishing.make_live(session(store, package), lambda _: wanted(files, executable)).manifest.version


def write(store: Store, key: str, data: bytes, tag: str | None = None) -> str:
    """Write an object without any condition, as `aws s3 cp` does; return its version id."""
    if isinstance(store, MemoryStore):
        return store.write(key, data, tag).version_id
    metadata = {protocol.TAG: tag} if tag else {}
    return str(store.client.put_object(Bucket=store.bucket, Key=key, Body=data, Metadata=metadata)["VersionId"])


def hand_make(
    store: Store,
    files: Files | None = None,
    package: str = "sales",
    file_changes: Mapping[str, Any] | None = None,
    manifest_changes: Mapping[str, Any] | None = None,
    pointer_changes: Mapping[str, Any] | None = None,
    manifest_bytes: bytes | None = None,
    pointer_bytes: bytes | None = None,
    previous: str | None = None,
) -> str:
    """Write a version document by document, as one who does not use the tool might; return its name.

    Args:
        store: the bucket.
        files: the contents by path.
        package: its name.
        file_changes: fields changed in each file of the manifest.
        manifest_changes: fields changed in the manifest.
        pointer_changes: fields changed in the pointer.
        manifest_bytes: the manifest itself; the pointer pins its real digest.
        pointer_bytes: the pointer itself.
        previous: keep that live pointer's history; the name of the package's current version.
    """
    files = {"a.py": b"x = 1\n"} if files is None else files
    version = protocol.new_version()
    rows = []
    for path, data in files.items():
        try:
            version_id = write(store, protocol.files_prefix(ENVIRONMENT, package) + path, data, version)
        except Exception:  # a name that the server refuses: the manifest may name it all the same
            version_id = "never-written"
        row = {
            "path": path,
            "version_id": version_id,
            "etag": '"e"',
            "size": len(data),
            "sha256": protocol.sha256(data),
        }
        rows.append({**row, **(file_changes or {})})
    history: list[Any] = []
    live = [version]
    if previous:
        old = json.loads(store.get(protocol.pointer_key(ENVIRONMENT, package), 1 << 20)[0])
        assert old["version"] == previous
        history = [{"version": old["version"], "manifest_sha256": old["manifest_sha256"]}, *old["previous"]]
        live += old["live_versions"]
    common = {"schema": 1, "environment": ENVIRONMENT, "package": package, "version": version}
    manifest = {
        **common, "files": rows, "kind": "publish", "previous": history[0] if history else None, "of": None,
        "created": "2026-01-01T00:00:00Z", "publisher": "attacker", "source": "", **(manifest_changes or {}),
    }  # fmt: skip
    data = manifest_bytes if manifest_bytes is not None else json.dumps(manifest).encode()
    write(store, protocol.manifest_key(ENVIRONMENT, package, version), data)
    pointer = {
        **common, "manifest_sha256": protocol.sha256(data), "previous": history[: protocol.MAX_FALLBACKS],
        "live_versions": live, "removed": False, "updated": "2026-01-01T00:00:00Z", "nonce": version,
        **(pointer_changes or {}),
    }  # fmt: skip
    document = pointer_bytes if pointer_bytes is not None else json.dumps(pointer).encode()
    write(store, protocol.pointer_key(ENVIRONMENT, package), document)
    return version
