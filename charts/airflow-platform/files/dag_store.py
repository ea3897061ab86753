"""The bucket: the calls of publisher and adopter, a stream for dag-sync, tags for retention; errors are one sentence for a person."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from threading import Lock
from typing import Any, Protocol
from urllib.parse import quote

import boto3
from botocore import exceptions as aws
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.response import StreamingBody

from dag_protocol import EXPIRED, PLACE, TAG, place_of

ENCRYPTION = "AIRFLOW_PLATFORM_ENCRYPTION"
"""Variable that says what each write asks for, where a bucket's policy refuses those that ask for nothing."""


class StoreError(Exception):
    """A call on the bucket failed; the text is one sentence for a person."""


class Conflict(StoreError):
    """The object is not in the state that the call asked for: somebody else wrote it."""


class Missing(StoreError):
    """No such object, or no such version of it."""


class Denied(StoreError):
    """The credentials are valid and may not do this."""


class NoCredentials(StoreError):
    """There are no credentials, or they are wrong or expired."""


class NoBucket(StoreError):
    """The bucket does not exist."""


class Unanswered(StoreError):
    """No answer, or a server error: a write may or may not have happened."""


class Unversioned(StoreError):
    """Versioning of the bucket is off or suspended."""


@dataclass(frozen=True)
class Listed:
    """What a listing tells of an object: no version id, no metadata."""

    etag: str
    size: int


@dataclass(frozen=True)
class Stored:
    """One version of an object."""

    version_id: str
    etag: str
    size: int
    tag: str | None = None  # of the publish that wrote this object in this place; a copy from elsewhere has none


@dataclass(frozen=True)
class PastVersion:
    """A line of an object's history."""

    key: str
    version_id: str
    latest: bool
    deleted: bool  # a delete marker
    modified: datetime | None = None  # by the server's clock


class Store(Protocol):
    """What publisher and adopter need of a bucket. Every error is a StoreError."""

    def listing(self, prefix: str) -> dict[str, Listed]:
        """Return every current object under `prefix`, by key."""

    def page(self, prefix: str, after: str) -> tuple[dict[str, Listed], bool]:
        """Return the first thousand current objects under `prefix` whose key is behind `after`, and whether there are more."""

    def past(self, prefix: str, limit: int | None = None) -> list[PastVersion]:
        """Return every version under `prefix`, delete markers too, newest first for each key; the first `limit` at least."""

    def head(self, key: str) -> Stored | None:
        """Describe the current object, or None when there is none."""

    def get(self, key: str, limit: int, version_id: str | None = None) -> tuple[bytes, Stored]:
        """Read an object, `limit` bytes and one more at most. Raises Missing."""

    def put(self, key: str, data: bytes, tag: str | None = None, if_match: str | None = None) -> Stored:
        """Write an object if its current ETag is `if_match` (None: if there is none). Raises Conflict."""

    def delete(self, key: str, if_match: str) -> None:
        """Set a delete marker if the current ETag is `if_match`. Raises Conflict."""


_NO_CREDENTIALS = {
    "ExpiredToken", "ExpiredTokenException", "IDPRejectedClaim", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidIdentityToken", "InvalidToken", "RequestExpired",
    "SignatureDoesNotMatch", "UnrecognizedClientException",
}  # fmt: skip


class S3Store:
    """A bucket on AWS or on anything that speaks S3.

    Args:
        bucket: its name.
        endpoint_url: of an S3-compatible server; None: AWS, or `AWS_ENDPOINT_URL`.
        client: a ready boto3 client, for tests.
    """

    def __init__(self, bucket: str, endpoint_url: str | None = None, client: Any = None) -> None:
        if bucket.startswith("arn:") or bucket.endswith("-s3alias"):  # the tag of a publish names the bucket
            raise StoreError(f"{bucket} is an access point: give the name of the bucket")
        self.bucket = bucket
        self._endpoint_url = endpoint_url
        self._client = client
        self._lock = Lock()
        self._forgets = client is None

    @property
    def client(self) -> Any:
        """The boto3 client: made at the first call, and anew after one that found no credentials. They may come later."""
        with self._lock:
            if self._client is None:
                # Not boto3's default session: that one remembers who came first, and that there were no credentials.
                session = boto3.session.Session()
                try:
                    self._client = session.client("s3", endpoint_url=self._endpoint_url, config=client_config())
                except ValueError as error:
                    raise StoreError(f"the AWS settings cannot be used: {_brief(error)}") from None
            return self._client

    def listing(self, prefix: str) -> dict[str, Listed]:
        """See Store."""
        with self._errors(f"list {prefix}"):
            found: dict[str, Listed] = {}
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                _check_page(page, prefix, "Contents")
                found |= {o["Key"]: Listed(o["ETag"], o["Size"]) for o in page.get("Contents", [])}
        return found

    def past(self, prefix: str, limit: int | None = None) -> list[PastVersion]:
        """See Store."""
        found: list[PastVersion] = []
        for page in self._past_pages(prefix):
            found += page
            if limit is not None and len(found) >= limit:
                break
        # Within a key the server's order is kept (two versions may share a second); markers and versions come apart.
        return sorted(found, key=lambda v: (v.latest, v.modified), reverse=True)

    def each_past(self, prefix: str) -> Iterator[PastVersion]:
        """See dag_retention.RetentionStore."""
        for page in self._past_pages(prefix):
            yield from page

    def _past_pages(self, prefix: str) -> Iterator[list[PastVersion]]:
        with self._errors(f"list versions of {prefix}"):
            for page in self.client.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix):
                _check_page(page, prefix, "Versions", "DeleteMarkers")
                yield [
                    PastVersion(v["Key"], v["VersionId"], v["IsLatest"], deleted, v["LastModified"])
                    for field, deleted in (("Versions", False), ("DeleteMarkers", True))
                    for v in page.get(field, [])
                ]

    def page(self, prefix: str, after: str) -> tuple[dict[str, Listed], bool]:
        """See Store."""
        with self._errors(f"list {prefix}"):
            answer = self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, StartAfter=after)
            _check_page(answer, prefix, "Contents")
            found = {o["Key"]: Listed(o["ETag"], o["Size"]) for o in answer.get("Contents", [])}
            if answer.get("IsTruncated") and max(found, default=after) <= after:
                raise Unanswered(f"cannot list {prefix}: the answer says that there is more, and does not go on")
            return found, bool(answer.get("IsTruncated"))

    def head(self, key: str) -> Stored | None:
        """See Store."""
        try:
            with self._reading(key):
                answer = self.client.head_object(Bucket=self.bucket, Key=key)
                return self._stored(key, answer, answer["ContentLength"])
        except Missing:
            return None

    def get(self, key: str, limit: int, version_id: str | None = None) -> tuple[bytes, Stored]:
        """See Store."""
        with self._reading(key, f" version {version_id}" if version_id else ""):
            extra = {"VersionId": version_id} if version_id else {}
            answer = self.client.get_object(Bucket=self.bucket, Key=key, **extra)
            try:
                data = answer["Body"].read(limit + 1)
            finally:
                answer["Body"].close()
            if len(data) < min(answer["ContentLength"], limit + 1):
                raise Unanswered(f"cannot read {key} in bucket {self.bucket}: the answer is cut off")
        return data, self._stored(key, answer, len(data))

    def stream(self, key: str, version_id: str, chunk: int) -> Iterator[bytes]:
        """Yield an object's bytes, `chunk` at a time. Raises Missing."""
        with self._reading(key, f" version {version_id}"):
            body = self._quick_get(key, version_id)
            if body is None:
                answer = self.client.get_object(Bucket=self.bucket, Key=key, VersionId=version_id)
                self._stored(key, answer, 0)
                body = answer["Body"]
            try:
                yield from body.iter_chunks(chunk)
            finally:
                body.close()

    def put(self, key: str, data: bytes, tag: str | None = None, if_match: str | None = None) -> Stored:
        """See Store."""
        condition = {"IfMatch": if_match} if if_match else {"IfNoneMatch": "*"}
        try:
            return self._put(key, data, tag, condition)
        except Conflict:
            # versitygw 1.8 takes a delete marker for an object here; AWS does not.
            if if_match or key in self.listing(key) or not self._is_deleted(key):
                raise
            if key.startswith("pointers/"):  # without a condition two publishers would both hear that theirs is live
                raise StoreError(
                    f"cannot write {key} in bucket {self.bucket}: it was deleted, and this store takes its delete marker for an "
                    "object; remove the marker (`aws s3api delete-object --version-id`), then run the command again"
                ) from None
            return self._put(key, data, tag, {})

    def delete(self, key: str, if_match: str) -> None:
        """See Store."""
        with self._errors(f"delete {key}"):
            self.client.delete_object(Bucket=self.bucket, Key=key, IfMatch=if_match)

    def expire(self, key: str, version_id: str) -> None:
        """See dag_retention.RetentionStore."""
        tags = {"TagSet": [{"Key": EXPIRED[0], "Value": EXPIRED[1]}]}
        with self._errors(f"tag {key}"):
            self.client.put_object_tagging(Bucket=self.bucket, Key=key, VersionId=version_id, Tagging=tags)

    def keep(self, key: str, version_id: str) -> None:
        """See dag_retention.RetentionStore."""
        of = {"Bucket": self.bucket, "Key": key, "VersionId": version_id}
        with self._errors(f"take the tag of {key} away"):
            tags = self.client.get_object_tagging(**of)["TagSet"]
            rest = [tag for tag in tags if tag["Key"] != EXPIRED[0]]
            if len(rest) < len(tags):
                self.client.put_object_tagging(**of, Tagging={"TagSet": rest})

    def check_versioning(self) -> None:
        """Raise Unversioned if the bucket says that it keeps no versions; silent when it may not be asked."""
        try:
            with self._errors("read the versioning of the bucket"):
                status = _brief(self.client.get_bucket_versioning(Bucket=self.bucket).get("Status", "off"))
        except Denied:
            return
        if status != "Enabled":
            raise Unversioned(
                f"versioning of bucket {self.bucket} is {status.lower()}: without it there is no way back; enable it"
            )

    @contextmanager
    def _reading(self, key: str, version: str = "") -> Iterator[None]:
        try:
            with self._errors(f"read {key}{version}"):
                yield
        except Denied:  # S3 says 403 of a missing key to who may list some prefixes only
            if version or key in self.listing(key):
                raise
            raise Missing(f"cannot read {key} in bucket {self.bucket}: it does not exist") from None

    def _quick_get(self, key: str, version_id: str) -> Any | None:
        """GET as boto3 sends it, in less than half of its CPU: the client's connections and signer, without hooks and parsing.

        None for any answer but 200: then the client is asked, which knows retries, redirects and what errors mean.
        """
        try:
            signer, connections = self.client._request_signer, self.client._endpoint.http_session
        except AttributeError:  # a botocore that is built otherwise
            return None
        request = AWSRequest("GET", f"{self._url}{quote(key, safe='/~')}?versionId={quote(version_id, safe='')}")
        signer.get_auth_instance("s3", self.client.meta.region_name, "s3v4").add_auth(request)
        request.stream_output = True
        try:
            answer = connections.send(request.prepare())
        except aws.HTTPClientError:
            return None
        if answer.status_code != 200 or "etag" not in answer.headers:
            answer.raw.close()
            return None
        return StreamingBody(answer.raw, answer.headers.get("content-length"))

    @cached_property
    def _url(self) -> str:
        """The bucket's address, as the client builds it."""
        url: str = self.client.generate_presigned_url("get_object", Params={"Bucket": self.bucket, "Key": "-"})
        return url.partition("?")[0].removesuffix("-")

    def _put(self, key: str, data: bytes, tag: str | None, condition: dict[str, str]) -> Stored:
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        with self._errors(f"write {key}"):
            answer = self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=data,
                Metadata={TAG: tag, PLACE: place_of(self.bucket, key)} if tag else {},
                ChecksumSHA256=digest,
                **condition,
                **encryption(os.environ.get(ENCRYPTION, "")),
            )
        if answer.get("VersionId", "null") == "null":
            raise Unversioned(
                f"bucket {self.bucket} wrote {key} without a version id: its versioning is suspended; enable it"
            )
        return replace(self._stored(key, answer, len(data)), tag=tag)

    def _stored(self, key: str, answer: Any, size: int) -> Stored:
        if "ETag" not in answer:
            raise Unanswered("the answer is not from S3: is something in between, like a proxy that asks for a login?")
        metadata = answer.get("Metadata", {})
        copied = metadata.get(PLACE, "") not in ("", place_of(self.bucket, key))
        return Stored(answer.get("VersionId", "null"), answer["ETag"], size, None if copied else metadata.get(TAG))

    def _is_deleted(self, key: str) -> bool:
        return any(v.deleted and v.latest for v in self.past(key) if v.key == key)

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        """Whatever goes wrong in a call becomes a StoreError: also what no S3 says, and what only a broken one does."""
        what = f"cannot {action} in bucket {self.bucket}"
        try:
            yield
        except StoreError:
            raise
        except aws.ClientError as error:
            raise _translated(error, what) from error
        except _OF_CREDENTIALS as error:
            self._forget_client()
            raise NoCredentials(f"{what}: no AWS credentials ({_brief(error)})") from error
        except _OF_SETTINGS as error:
            raise StoreError(f"{what}: the AWS settings cannot be used: {_brief(error)}") from error
        except aws.BotoCoreError as error:  # connection, time-out, broken body
            raise Unanswered(f"{what}: no answer ({_brief(error)})") from error
        except Exception as error:  # a parser that met what it does not know; botocore lets many kinds through
            if isinstance(error, OSError) and error.filename:  # a token that is not there yet, a program that is gone
                self._forget_client()
                raise NoCredentials(f"{what}: no AWS credentials ({_brief(error)})") from error
            raise Unanswered(f"{what}: the answer is not from S3 ({type(error).__name__}: {_brief(error)})") from error

    def _forget_client(self) -> None:
        if self._forgets:
            with self._lock:
                self._client = None


_OF_CREDENTIALS = (
    aws.ConfigParseError, aws.CredentialRetrievalError, aws.InvalidConfigError, aws.MetadataRetrievalError,
    aws.NoCredentialsError, aws.PartialCredentialsError, aws.ProfileNotFound, aws.SSOError, aws.TokenRetrievalError,
    aws.UnknownCredentialError,
)  # fmt: skip
_OF_SETTINGS = (
    aws.InvalidEndpointDiscoveryConfigurationError, aws.InvalidRegionError, aws.NoRegionError, aws.ParamValidationError,
)  # fmt: skip


def _translated(error: aws.ClientError, what: str) -> StoreError:
    """The error of an answer that names one."""
    told = error.response.get("Error", {})
    code, reason = str(told.get("Code", "")), _brief(told.get("Message") or "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "NoSuchBucket":
        return NoBucket(f"{what}: there is no such bucket")
    if code in _NO_CREDENTIALS:
        return NoCredentials(f"{what}: the AWS credentials are wrong or expired ({code})")
    if code in ("RequestTimeTooSkewed", "RequestInTheFuture"):
        return NoCredentials(
            f"{what}: the clock of this machine is wrong, so that nothing signed here is taken ({code})"
        )
    if code == "InvalidObjectState":
        return StoreError(
            f"{what}: it is in an archive (its storage class), from which somebody has to bring it back first"
        )
    if status == 501 or code == "NotImplemented":
        return StoreError(
            f"{what}: this store has no such call ({code} {reason}): `airflow-dag-publisher check-store`".rstrip()
        )
    if status in (409, 412):
        return Conflict(f"{what}: somebody else wrote it in the meantime")
    if status == 404 and code in ("404", "NoSuchKey", "NoSuchVersion"):  # HEAD has no body, so no code
        return Missing(f"{what}: it does not exist")
    if status == 403:
        return Denied(
            f"{what}: access denied" + (f" ({reason})" if reason not in ("", "Access Denied", "Forbidden") else "")
        )
    if status in (404, 405) or status >= 500 or code in ("RequestTimeout", "SlowDown", "Throttling", "BadDigest"):
        return Unanswered(f"{what}: the server answered {status} {_brief(code)}".rstrip())
    return StoreError(f"{what}: {status} {_brief(code)} {reason}".rstrip())


def encryption(text: str) -> dict[str, str]:
    """What a write asks for: nothing of an empty text, which leaves it to the bucket. Raises StoreError.

    Args:
        text: `AES256`, `aws:kms`, or `aws:kms:` and the ARN of a key.
    """
    if text in ("AES256", "aws:kms"):
        return {"ServerSideEncryption": text}
    if text.startswith("aws:kms:arn:"):
        return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": text.removeprefix("aws:kms:")}
    if text:
        raise StoreError(f"{ENCRYPTION} is {_brief(repr(text))}: say AES256, aws:kms, or aws:kms: and the ARN of a key")
    return {}


def _check_page(page: Any, prefix: str, *fields: str) -> None:
    """Raise Unanswered unless it is a page of the listing that was asked for: what is not S3 may answer 200 as well."""
    if "Name" not in page:
        raise Unanswered(f"cannot list {prefix}: the answer is not from S3, which names the bucket in each page")
    strange = [o["Key"] for field in fields for o in page.get(field, []) if not o["Key"].startswith(prefix)]
    if strange:
        raise Unanswered(f"cannot list {prefix}: the answer has {_brief(repr(strange[0]))}, which is elsewhere")


def client_config(**options: Any) -> Config:
    """Botocore settings that every program here shares: bounded waits, few retries, no checksums that only AWS knows."""
    defaults: dict[str, Any] = {
        "connect_timeout": 5,
        "read_timeout": 20,
        "retries": {"mode": "standard", "total_max_attempts": 3},
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
        "max_pool_connections": 16,
    }
    return Config(**(defaults | options))


def _brief(told: object) -> str:
    """What a server or a library says, on one line, with nothing that a terminal obeys."""
    text = " ".join(str(told).split())
    return "".join(c if c.isprintable() else "?" for c in text)[:300]
