"""The cluster leaves nothing behind, whatever ends it; two do not meet; somebody's own is never touched unasked."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import yaml

from scripts.local.cluster.cluster import READY, Cluster
from scripts.local.cluster.running import our_own
from scripts.manage.layers.environments import NAMESPACE
from scripts.pinned import ROOT
from tests.cluster.conftest import given, skip_unless_built

STARTER = f"""
import subprocess, sys
cluster = subprocess.Popen([{sys.executable!r}, "-m", "scripts.local.cluster"], stdin=subprocess.PIPE)
cluster.wait()
"""


@pytest.fixture(autouse=True)
def built(request: pytest.FixtureRequest) -> None:
    """These start and kill clusters of their own."""
    if given(request.config):
        pytest.skip("a cluster is given, and none is started")
    skip_unless_built()


@contextmanager
def started(*command: str) -> Iterator[tuple[psutil.Process, Path]]:
    """A process that starts a cluster, and the cluster's folder, once it is ready."""
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout
        line = next(line for line in iter(process.stdout.readline, b"") if line.startswith(READY.encode()))
        yield psutil.Process(process.pid), Path(line.decode().removeprefix(READY).strip()).parent
    finally:
        process.kill()
        process.communicate()


def all_end(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=120)[1]


@pytest.mark.parametrize(
    "how", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.exhaustive("cluster"))], ids=lambda s: s.name
)
def test_asked_to_end_it_ends_and_takes_its_folder_along(how: signal.Signals) -> None:
    with started(sys.executable, "-m", "scripts.local.cluster") as (process, folder):
        parts = process.children(recursive=True)
        assert {part.name()[:15] for part in parts} == {
            "etcd", "kube-apiserver", "kube-controller", "kube-scheduler", "kwok"
        }  # fmt: skip
        process.send_signal(how)
        assert process.wait(120) == 0
        assert all_end(parts) and not folder.exists()


def test_it_ends_with_who_started_it_even_if_that_is_killed() -> None:
    with started(sys.executable, "-c", STARTER) as (starter, folder):
        parts = starter.children(recursive=True)
        starter.kill()
        assert all_end(parts) and not folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_its_parts_end_with_it_even_if_it_is_killed() -> None:
    with started(sys.executable, "-m", "scripts.local.cluster") as (process, folder):
        parts = process.children(recursive=True)
        process.kill()
        assert all_end(parts)
        shutil.rmtree(folder)


def test_a_part_that_ends_is_said() -> None:
    with started(sys.executable, "-m", "scripts.local.cluster") as (process, folder):
        next(part for part in process.children() if part.name() == "kube-scheduler").kill()
        assert process.wait(120) == 1
        assert not folder.exists()


@pytest.mark.exhaustive("cluster")
def test_two_at_once_do_not_meet(tmp_path: Path) -> None:
    with our_own(tmp_path / "one") as one, our_own(tmp_path / "two") as two:
        one.kubectl("create", "namespace", NAMESPACE)
        names = [{ns["metadata"]["name"] for ns in each.objects("namespaces")} for each in (one, two)]
        assert names[0] - names[1] == {NAMESPACE}


def test_programs_that_are_not_built_are_a_sentence(tmp_path: Path) -> None:
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "scripts.local.cluster"], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert re.fullmatch(r"cluster: the control plane is not built: etcd, .* \(make tools\)\n", done.stderr)


def run_on(cluster: Cluster, *words: str) -> str:
    """The suite on a cluster that is given."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-rs",
        f"--kubeconfig={cluster.kubeconfig}",
        *words,
    ]
    done = subprocess.run(command, cwd=ROOT, env=cluster.env, capture_output=True, text=True, check=False)
    return re.sub(r"\s+", " ", done.stdout + done.stderr)


@pytest.mark.exhaustive("cluster")
def test_on_a_given_cluster_nothing_is_switched_off_and_airflow_s_namespace_is_safe(tmp_path: Path) -> None:
    with our_own(tmp_path / "log") as cluster:
        said = run_on(cluster, "tests/cluster/test_rounds.py")
        assert f"needs nodes that can be switched off, and {cluster.kubeconfig} is used" in said
        cluster.kubectl("create", "namespace", NAMESPACE)
        said = run_on(cluster, "tests/cluster/test_packages.py")
        assert "has the namespace airflow: these tests install and uninstall there, so nothing was begun" in said
        assert " passed" not in said and " failed" not in said


@pytest.mark.exhaustive("cluster")
def test_a_given_cluster_that_hides_its_namespaces_is_left_alone(tmp_path: Path) -> None:
    """An answer that did not come must never look like a cluster without Airflow: its namespaces would be deleted at the end."""
    with our_own(tmp_path / "log") as cluster:
        cluster.kubectl("create", "namespace", NAMESPACE)
        cluster.kubectl("create", "clusterrole", "blind", "--verb=create,delete", "--resource=namespaces")
        cluster.kubectl("create", "clusterrolebinding", "blind", "--clusterrole=blind", "--user=blind")
        document = yaml.safe_load(cluster.kubeconfig.read_text())
        document["users"][0]["user"]["as"] = "blind"
        blind = tmp_path / "kubeconfig"
        blind.write_text(yaml.safe_dump(document))
        said = run_on(replace(cluster, kubeconfig=blind), "tests/cluster/test_packages.py")
        assert "cannot be listed, so nothing was begun" in said and "forbidden" in said
        assert cluster.kubectl("get", "namespace", NAMESPACE, "--output=jsonpath={.status.phase}") == "Active"


def test_the_environment_s_kubeconfig_is_not_asked_for(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/somebody/s/cluster")
    assert given(pytestconfig) is None


def test_killed_while_it_comes_up_it_ends_too() -> None:
    starter = subprocess.Popen([sys.executable, "-c", STARTER], cwd=ROOT, stdout=subprocess.DEVNULL)
    process = psutil.Process(starter.pid)
    parts: list[psutil.Process] = []
    while "etcd" not in [part.name() for part in parts]:
        assert starter.poll() is None
        parts = process.children(recursive=True)
    starter.kill()
    starter.wait()
    assert all_end(parts)


def test_make_test_does_not_use_the_cluster_that_somebody_works_with() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "--eval", 'show:; @echo "[$${KUBECONFIG-}]"', "show"],
        cwd=ROOT, env={**os.environ, "KUBECONFIG": "/somebody/s/cluster"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout.strip() == "[]"
