"""One contract, three buckets: what the protocol rests on holds on moto, on versitygw, and in the model's memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
import pytest

from dag_store import (
    Conflict,
    Denied,
    Listed,
    Missing,
    NoBucket,
    NoCredentials,
    S3Store,
    StoreError,
    Unanswered,
    Unversioned,
    client_config,
)  # fmt: skip
from scripts.local.fault_proxy import FaultProxy
from scripts.local.memory_store import Memory, MemoryStore
from scripts.local.packages import write
from scripts.local.s3_servers import KEYS, S3Server

KEY = "dev/sales/dags/a.py"


@pytest.fixture(params=["moto", "gateway", "memory"])
def store(request: pytest.FixtureRequest, new_bucket: Callable[[S3Server], S3Store]) -> Any:
    if request.param == "memory":
        return Memory()
    return new_bucket(request.getfixturevalue(request.param))


def test_a_listing_has_the_current_objects_below_the_prefix_alone(store: Any):
    first = write(store, KEY, b"one")
    write(store, "dev/sales/dags/sub/b.py", b"four")
    write(store, "dev/sales_eu/dags/a.py", b"other")
    gone = store.put("dev/sales/dags/gone.py", b"x")
    store.delete("dev/sales/dags/gone.py", gone.etag)
    found = store.listing("dev/sales/dags/")
    assert {key: entry.size for key, entry in found.items()} == {KEY: 3, "dev/sales/dags/sub/b.py": 4}
    assert found[KEY].etag == store.head(KEY).etag and store.head(KEY).version_id == first
    assert store.listing("dev/sales/nothing/") == {}


def test_a_listing_goes_on_after_a_thousand_keys(moto: S3Server, new_bucket: Callable[[S3Server], S3Store]):
    store = new_bucket(moto)
    for n in range(1001):
        store.client.put_object(Bucket=store.bucket, Key=f"x/{n:04}", Body=b"")
    assert len(store.listing("x/")) == 1001


def test_put_creates_only_where_nothing_is(store: Any):
    stored = store.put(KEY, b"one", "v1")
    assert stored.size == 3 and stored.tag == "v1"
    with pytest.raises(Conflict):
        store.put(KEY, b"two")
    assert store.head(KEY) == stored and store.get(KEY, 100) == (b"one", stored)


def test_put_replaces_only_what_was_seen(store: Any):
    one = store.put(KEY, b"one")
    two = store.put(KEY, b"two", "v2", if_match=one.etag)
    assert two.version_id != one.version_id
    with pytest.raises(Conflict):
        store.put(KEY, b"three", if_match=one.etag)
    assert store.get(KEY, 100)[0] == b"two"
    with pytest.raises((Conflict, Missing)):
        store.put("dev/sales/dags/none.py", b"x", if_match=one.etag)
    assert store.head("dev/sales/dags/none.py") is None


def test_put_creates_over_a_delete_marker(store: Any):
    one = store.put(KEY, b"one")
    store.delete(KEY, one.etag)
    assert store.head(KEY) is None
    two = store.put(KEY, b"two")
    assert store.get(KEY, 100) == (b"two", two)
    with pytest.raises(Conflict):
        store.put(KEY, b"three")


def test_delete_marks_only_what_was_seen(store: Any):
    one = store.put(KEY, b"one")
    two = store.put(KEY, b"two", if_match=one.etag)
    with pytest.raises(Conflict):
        store.delete(KEY, one.etag)
    assert store.head(KEY) == two
    store.delete(KEY, two.etag)
    assert store.head(KEY) is None and KEY not in store.listing("dev/")
    assert store.get(KEY, 100, one.version_id)[0] == b"one", "history was touched"


def test_get_reads_a_version_and_one_byte_over_the_limit(store: Any):
    one = store.put(KEY, b"one")
    store.put(KEY, b"twotwo", if_match=one.etag)
    assert store.get(KEY, 100, one.version_id) == (b"one", one)
    assert store.get(KEY, 3)[0] == b"twot"
    for version in ("01ARZ3NDEKTSV4RRFFQ69G5FAV", None):
        with pytest.raises(Missing):
            store.get(KEY if version else "dev/none", 100, version)


def test_stream_yields_a_version_in_chunks(store: Any):
    one = store.put(KEY, bytes(range(256)) * 10)
    chunks = list(store.stream(KEY, one.version_id, 1000))
    assert b"".join(chunks) == bytes(range(256)) * 10 and len(chunks) == 3
    with pytest.raises(Missing):
        list(store.stream(KEY, "01ARZ3NDEKTSV4RRFFQ69G5FAV", 1000))


@pytest.mark.parametrize(
    "path", ["größe/データ.py", "a b+c&d=e.py", "100%.sql", "~tilde*'().txt", "a=b?c#d.py", "[x].py"]
)
def test_names_survive_the_way_there_and_back(store: Any, path: str):
    key = f"dev/sales/dags/{path}"
    stored = store.put(key, b"data", "v1")
    assert list(store.listing("dev/sales/")) == [key]
    assert store.head(key) == stored and store.get(key, 100, stored.version_id) == (b"data", stored)
    assert b"".join(store.stream(key, stored.version_id, 10)) == b"data"
    assert [v.key for v in store.past("dev/sales/")] == [key]


def test_past_has_every_version_newest_first(store: Any):
    one = store.put(KEY, b"one")
    two = store.put(KEY, b"two", if_match=one.etag)
    store.delete(KEY, two.etag)
    four = store.put(KEY, b"four")
    history = [v for v in store.past(KEY) if v.key == KEY]
    assert history[0].version_id == four.version_id and [v.latest for v in history] == [True, False, False, False]
    assert {v.version_id for v in history if not v.deleted} == {one.version_id, two.version_id, four.version_id}
    assert sum(v.deleted for v in history) == 1
    kept = [v.version_id for v in history if not v.deleted]
    assert kept == [four.version_id, two.version_id, one.version_id]


def test_an_empty_object_is_an_object(store: Any):
    stored = store.put(KEY, b"")
    assert (
        stored.size == 0 and store.get(KEY, 10) == (b"", stored) and store.listing(KEY) == {KEY: Listed(stored.etag, 0)}
    )


def test_the_tag_is_told_and_its_absence_too(store: Any):
    assert store.head("dev/none") is None
    write(store, KEY, b"by hand")
    assert store.head(KEY).tag is None
    write(store, KEY, b"by tool", "20260101T000000Z-00000000")
    assert store.head(KEY).tag == store.get(KEY, 10)[1].tag == "20260101T000000Z-00000000"


# --- what goes wrong, in one sentence each ------------------------------------------------------------------------


def client(
    endpoint: str,
    key: str = KEYS["AWS_ACCESS_KEY_ID"],
    secret: str = KEYS["AWS_SECRET_ACCESS_KEY"],
    patience: float = 30,
) -> Any:
    config = client_config(read_timeout=patience, connect_timeout=patience, retries={"total_max_attempts": 1})
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", config=config, aws_access_key_id=key, aws_secret_access_key=secret
    )  # fmt: skip


CALLS: dict[str, Callable[[S3Store], Any]] = {
    "listing": lambda s: s.listing("dev/"), "past": lambda s: s.past("dev/"), "head": lambda s: s.head(KEY),
    "get": lambda s: s.get(KEY, 10), "version": lambda s: s.get(KEY, 10, "v"), "stream": lambda s: list(s.stream(KEY, "v", 10)),
    "put": lambda s: s.put(KEY, b"x"), "delete": lambda s: s.delete(KEY, '"e"'),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fault", ["500", "403", "reset", "hang", "html", "drop"])
def test_every_call_translates_every_fault(call: str, fault: str, proxy: FaultProxy):
    """Nothing of botocore's comes through, whatever the other side answers: a login page is no S3."""
    proxy.fault = lambda _: fault  # type: ignore[return-value]
    store = S3Store("b-of-the-test", client=client(proxy.endpoint, patience=0.5 if fault == "hang" else 30))
    if fault == "html" and call == "delete":
        return  # its answer has no contents to be wrong
    with pytest.raises(StoreError) as caught:
        CALLS[call](store)
    assert type(caught.value) in ((Denied,) if fault == "403" else (Unanswered, Unversioned)), caught.value
    text = str(caught.value)
    assert "\n" not in text and text


@pytest.mark.parametrize("call", sorted(CALLS))
def test_no_bucket_is_told(call: str, moto: S3Server, gateway: S3Server):
    for server in (moto, gateway):
        store = S3Store("no-such-bucket-here", client=server.client())
        if call == "head":  # a HEAD's answer has no body to tell it
            assert store.head(KEY) is None
            continue
        with pytest.raises(NoBucket, match="no such bucket"):
            CALLS[call](store)


@pytest.mark.parametrize(("key", "secret"), [("administrator", "wrong")])
def test_wrong_keys_are_told(key: str, secret: str, gateway: S3Server, new_bucket: Callable[[S3Server], S3Store]):
    store = S3Store(new_bucket(gateway).bucket, client=client(gateway.endpoint, key, secret))
    with pytest.raises(NoCredentials, match="wrong or expired"):
        store.listing("dev/")


def test_no_keys_at_all_are_told(moto: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Any):
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(NoCredentials, match="no AWS credentials"):
        S3Store("bucket", moto.endpoint).listing("dev/")


def test_nobody_listening_is_told():
    with pytest.raises(Unanswered, match="no answer"):
        S3Store("bucket", client=client("http://127.0.0.1:9")).listing("dev/")


@pytest.mark.parametrize("endpoint", ["nonsense", "ftp://x y", ""])
def test_an_unusable_endpoint_is_told(endpoint: str, monkeypatch: pytest.MonkeyPatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    if endpoint:
        with pytest.raises(StoreError):
            S3Store("bucket", endpoint).listing("dev/")
    with pytest.raises(StoreError):
        S3Store("Not A Bucket", "http://127.0.0.1:9").listing("dev/")


@pytest.mark.parametrize("name", ["moto", "gateway"])
def test_a_bucket_that_keeps_no_versions_is_refused(
    name: str, request: pytest.FixtureRequest, new_bucket: Callable[[S3Server], S3Store]
):
    """With versioning suspended S3 writes version `null` in place: there would be no way back."""
    server = request.getfixturevalue(name)
    store = new_bucket(server)
    store.check_versioning()
    store.client.put_bucket_versioning(Bucket=store.bucket, VersioningConfiguration={"Status": "Suspended"})
    with pytest.raises(Unversioned, match="suspended"):
        store.check_versioning()
    with pytest.raises(Unversioned, match="versioning"):
        store.put(KEY, b"x")
    server.client().create_bucket(Bucket=store.bucket + "-off")
    with pytest.raises(Unversioned):
        S3Store(store.bucket + "-off", client=server.client()).check_versioning()


def test_a_403_for_a_missing_key_means_missing_to_who_may_list(proxy: FaultProxy, bucket: S3Store):
    """S3 says 403 of a missing key when the reader may list some prefixes only."""
    proxy.fault = lambda seen: None if seen.is_list else "403"
    store = S3Store(bucket.bucket, client=client(proxy.endpoint))
    assert store.head(KEY) is None
    with pytest.raises(Missing):
        store.get(KEY, 10)
    write(bucket, KEY, b"x")
    with pytest.raises(Denied):
        store.get(KEY, 10)


def test_a_403_for_a_pinned_version_stays_a_refusal_whatever_is_current(proxy: FaultProxy, bucket: S3Store):
    """dag-sync waits out a refusal, and steps over a version whose bytes are gone."""
    version = write(bucket, KEY, b"x")
    bucket.delete(KEY, bucket.listing(KEY)[KEY].etag)
    proxy.fault = lambda seen: None if seen.is_list else "403"
    store = S3Store(bucket.bucket, client=client(proxy.endpoint))
    with pytest.raises(Denied):
        store.get(KEY, 10, version)
    with pytest.raises(Denied):
        list(store.stream(KEY, version, 10))


@pytest.mark.parametrize("call", ["put", "delete"])
def test_two_conditional_writes_at_once_are_a_conflict(call: str, proxy: FaultProxy):
    """S3 answers 409 ConditionalRequestConflict to one of them, not 412."""
    proxy.fault = lambda seen: None if seen.is_list else "409"
    store = S3Store("b-of-the-test", client=client(proxy.endpoint))
    store.listing = lambda _: {KEY: Listed("e", 1)}  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        CALLS[call](store)


def test_a_body_that_is_cut_off_is_no_answer(proxy: FaultProxy, bucket: S3Store):
    version = write(bucket, KEY, b"x" * 1000)
    proxy.fault = lambda _: "truncate"
    store = S3Store(bucket.bucket, client=client(proxy.endpoint))
    for call in (
        lambda: store.get(KEY, 5000),
        lambda: list(store.stream(KEY, version, 100)),
        lambda: store.listing("dev/"),
    ):
        with pytest.raises(Unanswered):
            call()


def test_the_model_tells_etags_as_s3_does(bucket: S3Store):
    memory = MemoryStore()
    assert memory.put(KEY, b"data").etag == bucket.put(KEY, b"data").etag


def test_a_pointer_over_a_delete_marker_is_written_with_a_condition_or_not_at_all(
    gateway: S3Server, new_bucket: Callable[[S3Server], S3Store]
):
    """versitygw takes a delete marker for an object: of two publishers, without a condition, both would hear "published"."""
    store = new_bucket(gateway)
    pointer, manifest = "pointers/dev/sales.json", "manifests/dev/sales/v.json"
    for key in (pointer, manifest):
        store.delete(key, store.put(key, b"1").etag)
    with pytest.raises(StoreError, match="takes its delete marker for an object; remove the marker"):
        store.put(pointer, b"2")
    assert store.head(pointer) is None
    assert store.put(manifest, b"2").size == 1


KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/1"


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("", ("AES256", None)),
        ("AES256", ("AES256", None)),
        ("aws:kms", ("aws:kms", None)),
        (f"aws:kms:{KEY_ARN}", ("aws:kms", KEY_ARN)),
    ],
)
def test_a_write_asks_for_the_encryption_that_a_bucket_s_policy_demands(
    said: str,
    stored: tuple[str, str | None],
    moto: S3Server,
    new_bucket: Callable[[S3Server], S3Store],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("AIRFLOW_PLATFORM_ENCRYPTION", said)
    store = new_bucket(moto)
    asked: list[Any] = []
    store.client.meta.events.register(
        "before-parameter-build.s3.PutObject", lambda params, **_: asked.append(dict(params))
    )
    store.put(KEY, b"x", tag="v")
    assert ("ServerSideEncryption" in asked[0]) == bool(said)
    answer = store.client.head_object(Bucket=store.bucket, Key=KEY)
    assert answer.get("ServerSideEncryption", "AES256") == stored[0]
    assert asked[0].get("SSEKMSKeyId") == stored[1]


@pytest.mark.parametrize("said", ["aes256", "aws:kms:", "aws:kms:alias/mine", "none"])
def test_an_encryption_that_nobody_knows_is_one_sentence_and_writes_nothing(
    said: str, moto: S3Server, new_bucket: Callable[[S3Server], S3Store], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("AIRFLOW_PLATFORM_ENCRYPTION", said)
    store = new_bucket(moto)
    with pytest.raises(StoreError, match=r"AIRFLOW_PLATFORM_ENCRYPTION is .*: say AES256, aws:kms, or"):
        store.put(KEY, b"x")
    assert store.head(KEY) is None
