"""A cluster for each test: one of our own, which is up in seconds, or the one that --kubeconfig names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from scripts.local.cluster.cluster import JOBS, Cluster, Failed
from scripts.local.cluster.control_plane import NotBuilt, programs
from scripts.local.cluster.running import Start, our_own
from scripts.manage.layers.environments import NAMESPACE
from scripts.pinned import helm


def given(config: pytest.Config) -> Path | None:
    """The existing cluster that the tests are to use. Never the environment's KUBECONFIG: that is what somebody works with."""
    name = config.getoption("kubeconfig")
    return Path(name) if name else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if kubeconfig := given(config):
        refuse_where_airflow_lives(Cluster(kubeconfig, fake=False))
    for item in items:
        if item.get_closest_marker("fake_nodes") and given(config):
            item.add_marker(
                pytest.mark.skip(reason=f"needs nodes that can be switched off, and {given(config)} is used")
            )


# The next test's: most of a deploy is one process at a time, so its four seconds cost nothing beside this test's.
AHEAD: list[Start] = []


def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """A control plane that nobody is going to use takes a tenth of a core from the tests of other folders."""
    if nextitem is None or Path(__file__).parent not in nextitem.path.parents:
        while AHEAD:
            AHEAD.pop().end()


def refuse_where_airflow_lives(cluster: Cluster) -> None:
    """Ends the run before anything is changed, also where the cluster does not say which namespaces it has."""
    try:
        namespaces = {one["metadata"]["name"] for one in cluster.objects("namespaces")}
    except Failed as error:
        reason = str(error).strip().splitlines()[-1]
        pytest.exit(f"the namespaces of {cluster.kubeconfig} cannot be listed, so nothing was begun: {reason}", 2)
    if there := sorted(namespaces & {NAMESPACE, JOBS}):
        pytest.exit(
            f"{cluster.kubeconfig} has the namespace {' and '.join(there)}: these tests install and uninstall there, "
            "so nothing was begun; `make verify-cluster` looks only",
            2,
        )


@contextmanager
def existing(kubeconfig: Path) -> Iterator[Cluster]:
    """Somebody's cluster: refused where Airflow or jobs live, and left as it was found."""
    cluster = Cluster(kubeconfig, fake=False)
    refuse_where_airflow_lives(cluster)
    try:
        yield cluster
    finally:
        for release in ("airflow", "airflow-platform"):
            cluster.run(helm() or "helm", "uninstall", release, "--namespace", NAMESPACE, check=False)
        cluster.kubectl("delete", "namespace", NAMESPACE, JOBS, "--ignore-not-found")


def skip_unless_built() -> None:
    """Skip where the control plane was not built."""
    try:
        programs()
    except NotBuilt as error:
        pytest.skip(str(error))


@contextmanager
def a_cluster(config: pytest.Config, folder: Path) -> Iterator[Cluster]:
    """Ours or the given one; skips the test where there is neither, or no Helm."""
    if not helm():
        pytest.skip("helm is not built (make tools)")
    if kubeconfig := given(config):
        with existing(kubeconfig) as cluster:
            yield cluster
        return
    skip_unless_built()
    with our_own(folder / "cluster.log", AHEAD.pop() if AHEAD else None) as cluster:
        AHEAD.append(Start.begin(folder / "next-cluster.log"))
        yield cluster


@pytest.fixture
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cluster]:
    """With nothing of ours in it."""
    with a_cluster(request.config, tmp_path) as cluster:
        yield cluster
