"""A bucket with all of its past: each version and delete marker can be listed, read and deleted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import boto3
from botocore import exceptions as aws

from dag_store import Denied, Missing, S3Store, StoreError, Unanswered, client_config

THREADS = 16
PAGE = 1_000  # versions in an answer and in a deletion: S3 takes no more
ATTEMPTS = 3  # botocore begins a request again, but not a body that was cut off
CHUNK = 1 << 20

Id = tuple[str, str]


@dataclass(frozen=True)
class Version:
    """One version of an object, or a delete marker; the last three fields are known once it was read."""

    key: str
    version_id: str
    delete_marker: bool
    is_latest: bool
    last_modified: str
    etag: str = ""
    size: int = 0
    metadata: dict[str, str] = field(default_factory=dict)
    content_type: str = ""
    sha256: str = ""

    @property
    def id(self) -> Id:
        """What no other version has."""
        return self.key, self.version_id

    @property
    def name(self) -> str:
        """For people; a key may hold line breaks."""
        return f"{'delete marker' if self.delete_marker else 'version'} {self.version_id} of {self.key!r}"

    def holds_the_same(self, other: Version | None) -> bool:
        """Whether `other` is this version with these bytes (the version `null` can be overwritten)."""
        return other is not None and (self.id, self.delete_marker, self.etag, self.size) == (
            other.id,
            other.delete_marker,
            other.etag,
            other.size,
        )


class _DiskError(StoreError):
    """Carries an error of the disk past what makes sentences of the bucket's answers."""


class Bucket(S3Store):
    """A bucket for who may see and delete all of it. Every error is a StoreError.

    Args:
        bucket: its name.
        region: where it is.
    """

    def __init__(self, bucket: str, region: str) -> None:
        try:
            client = boto3.client("s3", region_name=region, config=client_config(max_pool_connections=THREADS))
        except (aws.BotoCoreError, ValueError) as error:
            raise StoreError(f"the AWS settings cannot be used: {error}") from None
        super().__init__(bucket, client=client)

    def versions(self, prefix: str = "") -> dict[Id, Version]:
        """Return every version and delete marker under `prefix`."""
        found: dict[Id, Version] = {}
        with self._allowed("list the versions", "s3:ListBucketVersions"):
            listing = self.client.get_paginator("list_object_versions")
            for page in listing.paginate(Bucket=self.bucket, Prefix=prefix, PaginationConfig={"PageSize": PAGE}):
                for name, deleted in (("Versions", False), ("DeleteMarkers", True)):
                    for row in page.get(name, []):
                        version = _listed(row, deleted)
                        found[version.id] = version
        return found

    def copy(self, version: Version, target: BinaryIO) -> dict[str, Any]:
        """Write a version's bytes to `target`; return the headers that came with them.

        Raises Missing if the version is gone, Denied, and StoreError if the bytes are not those that the listing told of.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._copy(version, target)
            except _DiskError as error:
                assert isinstance(error.__cause__, OSError)
                raise error.__cause__ from None
            except Unanswered:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError

    def erase(self, versions: Sequence[Version]) -> Iterator[int]:
        """Delete exactly these versions; yield how many were deleted, batch by batch. Raises StoreError at the first that stays."""
        for start in range(0, len(versions), PAGE):
            batch = versions[start : start + PAGE]
            names = [{"Key": v.key, "VersionId": v.version_id} for v in batch]
            with self._allowed("delete versions", "s3:DeleteObjectVersion"):
                answer = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": names, "Quiet": True})
            if failed := answer.get("Errors"):
                first = failed[0]
                raise StoreError(
                    f"cannot delete {len(failed)} of {len(batch)} versions in bucket {self.bucket}, the first is version "
                    f"{first.get('VersionId')} of {first.get('Key')!r} ({first.get('Code')}); it takes s3:DeleteObjectVersion"
                )
            yield len(batch)

    def _copy(self, version: Version, target: BinaryIO) -> dict[str, Any]:
        target.seek(0)
        target.truncate()
        action = f"read {version.name}"
        with self._allowed(action, "s3:GetObjectVersion, and kms:Decrypt where a KMS key encrypts it"):
            answer: dict[str, Any] = self.client.get_object(
                Bucket=self.bucket, Key=version.key, VersionId=version.version_id
            )
            with closing(answer["Body"]) as body:
                for chunk in body.iter_chunks(CHUNK):
                    try:
                        target.write(chunk)
                    except OSError as error:  # of our disk: no answer of the bucket's
                        raise _DiskError from error
        if (answer.get("ETag"), target.tell()) != (version.etag, version.size):
            raise Unanswered(
                f"cannot {action} in bucket {self.bucket}: {target.tell():,} bytes with ETag {answer.get('ETag')} came, "
                f"and the listing said {version.size:,} with {version.etag}"
            )
        return answer

    @contextmanager
    def _allowed(self, action: str, permission: str) -> Iterator[None]:
        try:
            with self._errors(action):
                yield
        except Denied as error:
            raise Denied(f"{error}; it takes {permission}") from error
        except Missing as error:
            raise Missing(f"{error}; somebody deletes meanwhile") from error


def _listed(row: Any, deleted: bool) -> Version:
    version = Version(row["Key"], row["VersionId"], deleted, row["IsLatest"], row["LastModified"].isoformat())
    return version if deleted else Version(**(vars(version) | {"etag": row["ETag"], "size": row["Size"]}))
