"""The checklist as pytest runs it: the tests are its items, passed is ok, skipped is open, and the table is all that is said."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator

import pytest
from pytest_helm_charts.clusters import ExistingCluster

from tests.checklist import options, reach
from tests.checklist.airflow_api import AirflowApi
from tests.checklist.kube import Kube, Refused, connect
from tests.checklist.options import OPTIONS, Settings, help_text
from tests.checklist.report import Row, show

ROWS = pytest.StashKey[list[Row]]()
CONTEXT = pytest.StashKey[str]()
STATES = {"passed": "ok", "failed": "FAILED", "skipped": "open"}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("checklist", "make verify-cluster")
    for flag, keywords in OPTIONS.items():
        group.addoption(flag, **keywords)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Exit codes 2 to 4 without a traceback; see options.py."""
    if config.option.help:
        print(help_text())
        return 0
    if config.option.collectonly:
        return None
    try:
        kubeconfig = config.getoption("kubeconfig") or os.environ.get("KUBECONFIG")
        config.stash[CONTEXT] = connect(kubeconfig, config.getoption("context"))
    except Refused as refused:
        print(f"verify-cluster: {refused}", file=sys.stderr)
        return refused.code
    config.stash[ROWS] = []
    return None


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if ROWS in config.stash:
        config.pluginmanager.unregister(name="terminalreporter")


def pytest_runtest_logstart(nodeid: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{nodeid.rpartition('test_')[2]} …", end="", file=sys.stderr, flush=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call" or not report.passed:
        title = str(getattr(item, "function").__doc__)  # noqa: B009  # of every item here, and of no pytest.Item
        item.config.stash[ROWS].append(Row(STATES[report.outcome], title, _seen(report, call)))
    return report


def _seen(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    if not call.excinfo:
        return "; ".join(str(text) for name, text in report.user_properties if name == "seen")
    error = call.excinfo.value
    known = isinstance(error, pytest.fail.Exception | pytest.skip.Exception)
    return str(error) if known else f"the check itself broke: {type(error).__name__}: {error}"


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        print(report.longreprtext, file=sys.stderr)


def pytest_internalerror(excrepr: object) -> None:
    print(excrepr, file=sys.stderr)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if rows := session.config.stash.get(ROWS, []):
        if sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)
        show(_heading(session.config), rows)


def _heading(config: pytest.Config) -> str:
    said = options.settings(config)
    may = f"{said.load_dag} may be unpaused and triggered" if said.may_trigger else "read-only"
    return f"Cluster of context {config.stash[CONTEXT]}, namespace {said.namespace}; {may}\n"


@pytest.fixture(scope="module")
def settings(pytestconfig: pytest.Config) -> Settings:
    return options.settings(pytestconfig)


@pytest.fixture(scope="module")
def kube(kube_config: str, pytestconfig: pytest.Config) -> Kube:
    return Kube(ExistingCluster(kube_config), pytestconfig.stash[CONTEXT])


@pytest.fixture(scope="module")
def airflow(kube: Kube, settings: Settings) -> Iterator[AirflowApi]:
    """The cluster's own, signed in; without it an item is open."""
    with reach.signed_in(kube, settings, os.environ) as api:
        yield api


@pytest.fixture(scope="module")
def address(kube: Kube, settings: Settings) -> reach.Address | None:
    return reach.ui(kube, settings)


@pytest.fixture
def seen(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Evidence for an item that is ok; --junitxml has it too."""
    return lambda text: record_property("seen", text)
