"""Whatever answers in S3's place: a call returns what it promises, or raises a StoreError of one sentence."""

from __future__ import annotations

import gzip
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dag_store import Denied, Listed, NoCredentials, PastVersion, S3Store, Stored, StoreError, Unanswered, client_config
from scripts.local.s3_servers import KEYS

KEY = "dev/sales/dags/a.py"
CALLS: dict[str, Callable[[S3Store], Any]] = {
    "listing": lambda s: s.listing("dev/"), "past": lambda s: s.past("dev/"), "head": lambda s: s.head(KEY),
    "get": lambda s: s.get(KEY, 10), "version": lambda s: s.get(KEY, 10, "v"), "stream": lambda s: list(s.stream(KEY, "v", 10)),
    "put": lambda s: s.put(KEY, b"x"), "delete": lambda s: s.delete(KEY, '"e"'), "versioning": lambda s: s.check_versioning(),
    "page": lambda s: s.page("dev/", ""), "each_past": lambda s: list(s.each_past("dev/")), "expire": lambda s: s.expire(KEY, "v"),
    "keep": lambda s: s.keep(KEY, "v"),
}  # fmt: skip


class Server:
    """Answers each request with the same bytes, and ends the connection."""

    def __init__(self) -> None:
        self.answer = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        try:
            head, _, body = self._until(connection, b"", lambda data: b"\r\n\r\n" in data).partition(b"\r\n\r\n")
            if b"100-continue" in head.lower():
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = int((re.findall(rb"(?i)\r\ncontent-length: (\d+)", head) or [0])[0])
            self._until(connection, body, lambda data: len(data) >= length)
            connection.sendall(self.answer)
        except OSError:  # the client had enough
            pass

    @staticmethod
    def _until(connection: socket.socket, data: bytes, done: Callable[[bytes], bool]) -> bytes:
        while not done(data) and (more := connection.recv(65536)):
            data += more
        return data

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def store(server: Server) -> S3Store:
    return store_at(server)


def store_at(server: Server) -> S3Store:
    """A store with connections of its own."""
    config = client_config(
        connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}
    )
    credentials = {"aws_access_key_id": KEYS["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": "x"}
    client = boto3.client("s3", endpoint_url=server.endpoint, region_name="us-east-1", config=config, **credentials)
    return S3Store("b-of-the-test", client=client)


# --- answers ------------------------------------------------------------------------------------------------------

TEXTS = st.sampled_from(["", "0", "-1", "1", "x", "null", '"e"', "dev/sales/dags/a.py", "elsewhere", "\u202e\u0007", "9" * 400, "true", "NaN", "1e9",
                         "2026-01-01T00:00:00Z", "yesterday", "0000-00-00T99:99:99Z", "&lt;", "Enabled", "off"])  # fmt: skip
NAMES = st.sampled_from(["Key", "ETag", "Size", "LastModified", "VersionId", "IsLatest", "Name", "IsTruncated", "NextContinuationToken",
                         "NextKeyMarker", "NextVersionIdMarker", "KeyCount", "Code", "Message", "Status", "Owner"])  # fmt: skip
FIELDS = st.lists(st.tuples(NAMES, TEXTS), max_size=8).map(lambda fields: "".join(f"<{n}>{t}</{n}>" for n, t in fields))
ITEMS = st.lists(
    st.tuples(st.sampled_from(["Contents", "Version", "DeleteMarker", "CommonPrefixes", "Error"]), FIELDS), max_size=3
)
DOCUMENTS = st.builds(
    lambda root, fields, items: f"<{root}>{fields}{''.join(f'<{n}>{f}</{n}>' for n, f in items)}</{root}>".encode(),
    st.sampled_from(["ListBucketResult", "ListVersionsResult", "Error", "VersioningConfiguration", "html", "a"]), FIELDS, ITEMS,
)  # fmt: skip
BODIES = st.one_of(
    DOCUMENTS, DOCUMENTS.map(lambda body: body[: len(body) // 2]), st.binary(max_size=200), st.sampled_from([b"", b"\0", b"<", b"{}", b"<a>" * 5000]),
    DOCUMENTS.map(gzip.compress),
)  # fmt: skip
HEADERS = st.fixed_dictionaries({}, optional={
    "ETag": st.sampled_from(['"e"', "", "e", "\xff"]),
    "Content-Length": st.sampled_from(["0", "3", "-1", "x", "999999", ""]),
    "Content-Type": st.sampled_from(["application/xml", "text/html", ""]),
    "Content-Encoding": st.sampled_from(["gzip", "br", "deflate", "identity"]),
    "Transfer-Encoding": st.sampled_from(["chunked", "nonsense"]),
    "Last-Modified": st.sampled_from(["yesterday", "", "Thu, 01 Jan 1970 00:00:00 GMT"]),
    "x-amz-version-id": st.sampled_from(["null", "v1", "", "\x01"]),
    "x-amz-meta-dag-publish": st.sampled_from(["v", "\xff"]),
    "x-amz-delete-marker": st.sampled_from(["true", "perhaps"]),
    "x-amz-missing-meta": st.sampled_from(["many", "1"]),
    "x-amz-checksum-sha256": st.just("AAAA"),
    "Location": st.sampled_from(["/", "http://127.0.0.1:1/"]),
    "x-amz-bucket-region": st.sampled_from(["eu-central-1", "not a region"]),
})  # fmt: skip
STATUSES = st.sampled_from(
    [200, 200, 200, 200, 204, 206, 301, 307, 400, 403, 404, 405, 409, 412, 416, 429, 500, 503, 999, 0]
)


def _bytes(status: int, headers: dict[str, str], body: bytes, length: bool) -> bytes:
    if length and "Content-Length" not in headers:
        headers = {**headers, "Content-Length": str(len(body))}
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


ANSWERS = st.one_of(
    st.builds(_bytes, STATUSES, HEADERS, BODIES, st.booleans()),
    st.sampled_from([b"", b"HTTP/1.1", b"\0" * 100, b"SSH-2.0-x\r\n", b"HTTP/1.1 200\r\n" + b"a: b\r\n" * 300]),
)


def check(call: str, result: Any) -> None:
    """What the call promises."""
    if call == "listing":
        assert all(isinstance(k, str) and isinstance(v, Listed) and isinstance(v.size, int) for k, v in result.items())
    elif call == "page":
        check("listing", result[0])
        assert isinstance(result[1], bool)
    elif call in ("past", "each_past"):
        assert all(isinstance(v, PastVersion) and isinstance(v.version_id, str) for v in result)
    elif call in ("head", "put"):
        assert result is None or (isinstance(result, Stored) and isinstance(result.etag, str))
    elif call in ("get", "version"):
        assert isinstance(result[0], bytes) and len(result[0]) <= 11 and isinstance(result[1], Stored)
    elif call == "stream":
        assert all(isinstance(chunk, bytes) for chunk in result)
    else:
        assert result is None


@pytest.mark.parametrize("call", CALLS)
def test_any_answer_is_what_is_promised_or_a_store_error(
    call: str, server: Server, store: S3Store, in_full: Callable[[str], bool]
) -> None:
    number = int(os.environ.get("STRANGE_ANSWERS", 0)) or (2_000 if in_full("delivery") else 150)

    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        derandomize=number < 10_000,
        suppress_health_check=list(HealthCheck),
    )
    @given(ANSWERS)
    def answered(answer: bytes) -> None:
        server.answer = answer
        try:
            check(call, CALLS[call](store))
        except StoreError as error:
            text = str(error)
            assert text and "\n" not in text and len(text) < 700 and text.isprintable(), text

    answered()


ENDS = {"Content-Type": "application/xml", "Connection": "close"}  # said, so that no later call takes that connection


@pytest.mark.parametrize("call", ["listing", "page", "past", "each_past"])
def test_xml_that_names_no_bucket_is_no_empty_bucket(call: str, server: Server) -> None:
    """A publisher that believed it would take every live file for deleted."""
    body = b"<?xml version='1.0'?><login><form/></login>"
    server.answer = _bytes(200, ENDS, body, True)
    with pytest.raises(StoreError, match="not from S3"):
        CALLS[call](store_at(server))


KMS = "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: kms:GenerateDataKey because no identity-based policy allows it"
REASONS: dict[str, tuple[int, str, str, type[StoreError], str]] = {
    "a key that may not be used": (403, "AccessDenied", KMS, Denied, r"access denied \(User: .*kms:GenerateDataKey"),
    "an explicit deny": (403, "AccessDenied", "with an explicit deny in a resource-based policy", Denied, "explicit deny in a resource-based policy"),
    "no reason": (403, "AccessDenied", "Access Denied", Denied, "access denied$"),
    "a clock that is wrong": (403, "RequestTimeTooSkewed", "The difference is too large", NoCredentials, "the clock of this machine is wrong"),
    "a token that expired": (400, "ExpiredToken", "expired", NoCredentials, "wrong or expired"),
    "an archive": (403, "InvalidObjectState", "not valid for the storage class", StoreError, "in an archive"),
    "a call that is not there": (501, "NotImplemented", "no", StoreError, "no such call .*check-store"),
    "a web page": (404, "", "", Unanswered, "the server answered 404"),
}  # fmt: skip


@pytest.mark.parametrize("call", ["get", "version", "put"])
@pytest.mark.parametrize("why", REASONS)
def test_the_reason_that_aws_gives_is_told(why: str, call: str, server: Server) -> None:
    """All became "access denied", and a clock that is wrong too."""
    status, code, message, kind, says = REASONS[why]
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>" if code else "<html>no</html>"
    server.answer = _bytes(status, ENDS, body.encode(), True)
    with pytest.raises(StoreError, match=says) as caught:
        CALLS[call](store_at(server))
    assert type(caught.value) is kind
