"""Servers that the whole session shares, and a fresh bucket for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from dag_store import S3Store
from scripts.local.fault_proxy import FaultProxy
from scripts.local.s3_servers import S3Server, running
from scripts.manage.layers.chart import archive
from scripts.pinned import program
from tests.helpers import bounds, parts
from tests.helpers.charts import RENDERS
from tests.mutants import run as mutants

collect_ignore = ["checklist"]  # of a cluster that somebody names: make verify-cluster
os.environ.setdefault(
    "GOGC", "400"
)  # Helm and Terraform live for seconds: less collecting saves a fifth and a tenth of them


WHOLE, DIGESTS = pytest.StashKey[list[str]](), pytest.StashKey[dict[str, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run what is exhaustive whole, changed or not")
    parser.addoption("--quick", action="store_true", help="leave out what starts an Airflow, Terraform or a cluster")


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Once a run: what is whole must not depend on when a process looks, and nobody proves what was changed meanwhile."""
    if hasattr(config, "workerinput"):
        config.stash[WHOLE] = config.workerinput["whole"]
        return
    config.stash[DIGESTS] = bounds.digests()
    named = any("::" in word for word in config.args) and not os.environ.get(bounds.PART_ONLY)
    asked = named or config.getoption("full")
    changed = [] if config.getoption("quick") else bounds.changed(config.stash[DIGESTS])
    config.stash[WHOLE] = list(bounds.SUBJECTS) if asked else changed


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["whole"] = node.config.stash[WHOLE]


def pytest_report_header(config: pytest.Config) -> list[str]:
    found = archive()
    chart = f"rendered from {found.name}" if found else "no archive, the policies run on tests/render/inventory"
    whole = ", ".join(config.stash[WHOLE]) or "none"
    return [
        f"chart: {chart}",
        f"exhaustive tests that are run whole, since that was asked for or files changed: {whole}",
    ]


@pytest.fixture(scope="session")
def in_full(pytestconfig: pytest.Config) -> Callable[[str], bool]:
    """Whether a subject of helpers/bounds.py is to be run whole."""
    return lambda subject: subject in pytestconfig.stash[WHOLE]


def leave_out(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is exhaustive and not due, and what is not quick."""
    whole, quick, kept, out = config.stash[WHOLE], config.getoption("quick"), list[pytest.Item](), list[pytest.Item]()
    for item in items:
        subjects = [mark.args[0] for mark in item.iter_markers("exhaustive")]
        assert all(subject in bounds.SUBJECTS for subject in subjects), f"{item.nodeid}: {subjects}"
        due = all(subject in whole for subject in subjects) and not (quick and (subjects or parts.is_slow(item)))
        (kept if due else out).append(item)
    config.hook.pytest_deselected(items=out)
    items[:] = kept


LEAVES_OUT = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "stepwise", "quick", "collectonly")


def is_everything(config: pytest.Config) -> bool:
    """Whether all tests were asked for, each subject whole that is not proved."""
    whole = set(config.stash[WHOLE]) >= set(bounds.not_proved(config.stash[DIGESTS]))
    named = config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    return whole and not named and not any(config.getoption(name, None) for name in LEAVES_OUT)


def prove(config: pytest.Config, reports: Iterable[Any]) -> str:
    """Write tests/proved.yaml after a run of everything. Return what is to be said of it."""
    if any(isinstance(r, pytest.TestReport) and r.skipped and "exhaustive" in r.keywords for r in reports):
        return "tests/proved.yaml stays as it is: exhaustive tests were skipped"
    if bounds.digests() != config.stash[DIGESTS]:
        return "tests/proved.yaml stays as it is: files changed during the run"
    bounds.prove(config.stash[DIGESTS])
    return "tests/proved.yaml says that all passed, whole"


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """To leave out all that is exhaustive in a folder is no failure; to find nothing by a name is one."""
    RENDERS.close()
    chosen = any(session.config.getoption(name, None) for name in ("keyword", "markexpr"))
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and not chosen:
        session.exitstatus = pytest.ExitCode.OK


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    leave_out(config, items)
    shuffled = config.pluginmanager.hasplugin("randomly")
    if hasattr(config, "workerinput") and not shuffled:  # a process alone goes from folder to folder
        items[:] = parts.longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> parts.Units:
    config.option.loadscopereorder = False  # it would begin with those that have most tests
    return parts.Units(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    terminalreporter.section("time of each part, summed over the processes")
    for line in parts.times(reports):
        terminalreporter.write_line(line)
    if not is_everything(config):
        return
    if old := len(mutants.stale()):
        terminalreporter.write_line(
            f"{old} results of tests/mutants were made with older code or tests: make test-mutants"
        )
    if exitstatus == 0 and bounds.not_proved(config.stash[DIGESTS]):
        terminalreporter.write_line(prove(config, reports))


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
