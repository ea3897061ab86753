"""Servers that the whole session shares, and a fresh bucket for each test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from dag_store import S3Store
from scripts.layers.chart import archive
from tests.helpers.charts import RENDERS
from tests.helpers.fault_proxy import FaultProxy
from tests.helpers.s3_servers import S3Server, running, versitygw

collect_ignore = ["checklist"]  # of a cluster that somebody names: make verify-cluster


def pytest_report_header() -> str:
    found = archive()
    return (
        f"chart: rendered from {found.name}"
        if found
        else "chart: no archive, the policies run on tests/render/inventory"
    )


def pytest_sessionfinish() -> None:
    RENDERS.close()


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running("moto", tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if not versitygw().exists():
        pytest.skip(f"versitygw is not built: {versitygw()} (make tools)")
    with running("versitygw", tmp_path_factory.mktemp("versitygw")) as server:
        yield server


@pytest.fixture
def new_bucket() -> Callable[[S3Server], S3Store]:
    return lambda server: server.bucket(f"t-{uuid.uuid4().hex[:20]}")


@pytest.fixture
def bucket(moto: S3Server, new_bucket: Callable[[S3Server], S3Store]) -> S3Store:
    """A fresh bucket on moto, with the environment's marker."""
    return new_bucket(moto)


@pytest.fixture
def proxy(moto: S3Server) -> Iterator[FaultProxy]:
    """A fresh proxy before moto."""
    with FaultProxy(moto.endpoint) as proxy:
        yield proxy
