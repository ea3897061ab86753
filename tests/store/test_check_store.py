"""A store is tried before anybody trusts it with versions: what it lacks is named, and nothing is published."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest

from airflow_dag_publisher.store_check import check_store, refuse_unfit
from dag_store import Conflict, Listed, S3Store, Stored, StoreError
from scripts.local.memory_store import MemoryStore
from scripts.local.s3_servers import S3Server

PREFIX = "manifests/dev/sales/"


class WithoutConditions(MemoryStore):
    """MinIO and Ceph of some years ago: the header is ignored."""

    def _check(self, key: str, if_match: str | None) -> None:
        pass


class WithoutIfMatch(MemoryStore):
    """Knows If-None-Match alone, as several gateways do."""

    def _check(self, key: str, if_match: str | None) -> None:
        if if_match is None:
            super()._check(key, if_match)


class WithoutThatCall(MemoryStore):
    """Answers 501 to a condition."""

    def _check(self, key: str, if_match: str | None) -> None:
        if self.current(key) is not None:
            raise StoreError("cannot write: this store has no such call (NotImplemented)")


class WithoutVersions(MemoryStore):
    """Overwrites in place."""

    def get(self, key: str, limit: int, version_id: str | None = None) -> tuple[bytes, Stored]:
        return super().get(key, limit)


class ShowsLater(MemoryStore):
    """A listing of what was."""

    def listing(self, prefix: str) -> dict[str, Listed]:
        return {key: Listed('"old"', entry.size) for key, entry in super().listing(prefix).items()}


@pytest.mark.parametrize(
    ("store", "lacks"),
    [
        (WithoutConditions(), ["create only", "replace only"]),
        (WithoutIfMatch(), ["replace only"]),
        (WithoutVersions(), ["keep versions"]),
        (ShowsLater(), ["show at once"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, MemoryStore) else "",
)
def test_what_a_store_lacks_is_named(store: MemoryStore, lacks: list[str]):
    found = [check.what for check in check_store(store, PREFIX) if check.problem]
    assert len(found) == len(lacks) and all(what.startswith(lack) for what, lack in zip(found, lacks, strict=True))
    with pytest.raises(StoreError, match=f"cannot be published to.*{lacks[0]}"):
        refuse_unfit(store, PREFIX)


def test_a_store_that_does_not_know_the_condition_is_refused_too():
    with pytest.raises(StoreError, match="NotImplemented"):
        refuse_unfit(WithoutThatCall(), PREFIX)


def test_two_first_publishers_at_once_both_pass(memory_store: MemoryStore):
    real, asked = memory_store.put, []

    def put(*args: Any, **kwargs: Any) -> Stored:
        if len(asked) < 4:
            asked.append(args)
            refuse_unfit(memory_store, PREFIX)
        return real(*args, **kwargs)

    memory_store.put = put  # type: ignore[method-assign]
    refuse_unfit(memory_store, PREFIX)
    assert len(asked) == 4


def test_a_conflict_with_ourselves_is_no_fault_of_the_store(memory_store: MemoryStore):
    real, lost = memory_store.put, []

    def put(*args: Any, **kwargs: Any) -> Stored:
        stored = real(*args, **kwargs)
        if len(lost) < 1:
            lost.append(args)
            raise Conflict("the answer was lost, and botocore asked again")
        return stored

    memory_store.put = put  # type: ignore[method-assign]
    refuse_unfit(memory_store, PREFIX)


@pytest.fixture
def memory_store() -> MemoryStore:
    return MemoryStore()


@pytest.mark.parametrize("server", ["moto", "gateway"])
def test_the_servers_here_do_all_of_it_and_may_be_asked_again(
    server: str, request: pytest.FixtureRequest, new_bucket: Callable[[S3Server], S3Store]
):
    store = new_bucket(request.getfixturevalue(server))
    for _ in range(3):
        assert [check.problem for check in check_store(store, PREFIX)] == [""] * 5


@pytest.mark.parametrize("server", ["moto", "gateway"])
def test_a_real_bucket_without_versions_is_refused(server: str, request: pytest.FixtureRequest):
    client = request.getfixturevalue(server).client()
    name = f"plain-{secrets.token_hex(8)}"
    client.create_bucket(Bucket=name)
    with pytest.raises(StoreError, match="does not keep versions"):
        refuse_unfit(S3Store(name, client=client), PREFIX)
