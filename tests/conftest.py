"""Servers that the whole session shares, and a fresh bucket for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dag_store import S3Store
from scripts.layers.chart import archive
from scripts.pinned import program
from tests.helpers import bounds, parts
from tests.helpers.charts import RENDERS
from tests.helpers.fault_proxy import FaultProxy
from tests.helpers.s3_servers import S3Server, running

collect_ignore = ["checklist"]  # of a cluster that somebody names: make verify-cluster
os.environ.setdefault(
    "GOGC", "400"
)  # Helm and Terraform live for seconds: less collecting saves a fifth and a tenth of them


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", help="run what is exhaustive whole, whether its files changed or not"
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    found = archive()
    changed = bounds.changed()
    return [
        f"chart: rendered from {found.name}"
        if found
        else "chart: no archive, the policies run on tests/render/inventory",
        "exhaustive tests: "
        + ("in full" if config.getoption("full") else f"in part{', in full: ' if changed else ''}{', '.join(changed)}"),
    ]


@pytest.fixture(scope="session")
def in_full(pytestconfig: pytest.Config) -> Callable[[str], bool]:
    """Whether a subject of helpers/bounds.py is to be run whole."""
    changed = bounds.changed()
    return lambda subject: bool(pytestconfig.getoption("full")) or subject in changed


def pytest_sessionfinish() -> None:
    RENDERS.close()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of several processes; a process alone goes from folder to folder
        items[:] = parts.longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> parts.Units:
    config.option.loadscopereorder = False  # it would begin with those that have most tests
    return parts.Units(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("time of each part, summed over the processes")
    for line in parts.times(report for reports in terminalreporter.stats.values() for report in reports):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running("moto", tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if not program("versitygw").exists():
        pytest.skip(f"versitygw is not built: {program('versitygw')} (make tools)")
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
