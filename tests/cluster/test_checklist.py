"""`make verify-cluster` on a control plane with a real Airflow beside it: what it says of each item, good and broken."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql
import yaml

from scripts.layers.environments import NAMESPACE
from tests.cluster.cluster import JOBS, Cluster
from tests.cluster.conftest import a_cluster
from tests.cluster.contents import MOVING
from tests.cluster.deployment import how_to
from tests.cluster.screener import Screener
from tests.cluster.velero import backed_up, install
from tests.helpers.airflow import Airflow

pytestmark = [pytest.mark.fake_nodes, pytest.mark.airflow, pytest.mark.exhaustive("cluster")]

HOW_TO = "verify-a-cluster.md"
LOAD = "historical_load_equities"
SUBRESOURCE = ("--subresource=status", "--type=merge", "--patch")


@dataclass(frozen=True)
class Said:
    """What verify-cluster said: by item, from 1 on, its state and its text."""

    code: int
    states: list[str]
    texts: list[str]
    output: str

    def __getitem__(self, item: int) -> tuple[str, str]:
        return self.states[item - 1], self.texts[item - 1]


@dataclass(frozen=True)
class Place:
    """The cluster, the Airflow beside it, and verify-cluster on both."""

    cluster: Cluster
    screener: Screener
    airflow: Airflow

    def verify(self, *words: str, cluster: Cluster | None = None, **env: str) -> Said:
        return verify(cluster or self.cluster, f"--airflow-url={self.screener.url}", *words, **env)


def verify(cluster: Cluster, *words: str, **env: str) -> Said:
    command = ("env", "-u", "COLUMNS", sys.executable, "-m", "pytest", "tests/checklist")  # xdist sets it
    done = cluster.run(*command, *words, check=False, **env)
    assert "Traceback" not in done.stdout + done.stderr
    rows = re.findall(r"^ *(\d+)  (ok|FAILED|open) +(.*?)(?:  +(.*))?$", done.stdout, re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(1, 11)), done.stdout + done.stderr
    assert (len(done.stdout.splitlines()), done.stderr) == (14, ""), "heading, ten items, sums: nothing of pytest's"
    return Said(done.returncode, [row[1] for row in rows], [row[3] for row in rows], done.stdout + done.stderr)


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("checklist")
    with a_cluster(request.config, folder) as cluster, ThreadPoolExecutor(1) as pool:
        screener = Screener(folder / "airflow", "a-password-of-nobody")
        airflow = screener.airflow()
        migrated = pool.submit(airflow.migrate)
        secret = ("--from-literal=username=admin", f"--from-literal=password={screener.password}")
        cluster.kubectl("create", "namespace", NAMESPACE)
        cluster.kubectl("create", "secret", "generic", "airflow-admin", "--namespace", NAMESPACE, *secret)
        cluster.manage("deploy", "pi", "--yes")
        migrated.result()
        with screener.running(airflow, cluster):
            yield Place(cluster, screener, airflow)


@pytest.fixture(scope="module")
def untried(place: Place) -> Said:
    """Before anything ran, whichever test comes first."""
    return place.verify()


@pytest.fixture(scope="module")
def loaded(place: Place, untried: Said) -> Said:
    """With Velero's objects there, and the load DAG's first run."""
    install(place.cluster)
    backed_up(place.cluster)
    return place.verify("--may-trigger")


def test_what_was_not_tried_is_open_and_says_how(place: Place, untried: Said) -> None:
    said = untried
    assert said.states == ["ok", "ok", "ok", *["open"] * 5, "FAILED", "ok"], said.output
    assert said.code == 1
    assert "3/3 containers ready; no Multi-Attach event" in said.texts[0]
    assert "data_collection.py" in said.texts[1]
    assert f"{LOAD} (tasks: 3)" in said.texts[2]
    assert f"airflow dags unpause {LOAD}" in said.texts[3]
    assert "ARGS=--may-trigger" in said.texts[4]
    assert "no run of" in said.texts[5]
    assert "no Velero in this cluster" in said.texts[8]
    assert "data-airflow-postgresql-0" in said.texts[8]
    assert "triggerer" in said.texts[9]
    assert place.screener.password not in said.output


def test_when_it_may_trigger_all_ten_are_ok(loaded: Said) -> None:
    assert loaded.states == ["ok"] * 10, loaded.output
    assert loaded.code == 0
    assert loaded.texts[3] == f"{LOAD} was paused, and is not now"
    assert "success" in loaded.texts[4]
    assert (
        "read_configuration: its log names financial_screener.dag_configuration, 2 rows by XCom (us_markets, lse)"
        in loaded.texts[5]
    )
    assert re.search(
        r"lse-\w+ cpu 250m memory 512Mi; us-markets-\w+ cpu 500m memory 1Gi, as in the table", loaded.texts[6]
    )
    assert "triggered by an asset of the run of" in loaded.texts[7]
    assert "daily-1 Completed" in loaded.texts[8]
    assert "166 items, 1/1 volumes; with airflow and etl-jobs" in loaded.texts[8]


def test_the_rights_of_the_guide_are_enough_and_nothing_is_changed(place: Place, loaded: Said, tmp_path: Path) -> None:
    cluster = place.cluster
    cluster.run("bash", "-c", how_to(HOW_TO, "clusterrole=airflow-checklist"))
    reader = Cluster(tmp_path / "reader")
    document = yaml.safe_load(cluster.kubeconfig.read_text())
    document["users"][0]["user"] = {
        "token": cluster.kubectl("create", "token", "checklist", f"--namespace={NAMESPACE}").strip()
    }
    reader.kubeconfig.write_text(yaml.safe_dump(document))
    backed_up(cluster)
    before = revisions(cluster), audit(place.airflow)
    said = place.verify(cluster=reader)
    assert (revisions(cluster), audit(place.airflow)) == before
    assert said.states == ["ok"] * 10, said.output
    assert reader.run("kubectl", "delete", "pods", "--all", f"--namespace={NAMESPACE}", check=False).returncode


def revisions(cluster: Cluster) -> dict[tuple[str, str, str], str]:
    """Of every object but those that move by themselves."""
    kinds = cluster.kubectl("api-resources", "--verbs=get,list", "--output=name").split()
    listed = ",".join(kind for kind in kinds if kind not in MOVING)
    found = json.loads(cluster.kubectl("get", listed, "--all-namespaces", "--output=json"))["items"]
    assert len(found) > 100
    return {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one["metadata"]["resourceVersion"]
        for one in found
    }


def audit(airflow: Airflow) -> list[Any]:
    """How much was written to Airflow's audit log, and how many runs and XComs there are."""
    with sql.create_engine(airflow.url).connect() as database:
        return [
            database.execute(sql.text(f"SELECT count(*) FROM {table}")).scalar() for table in ("log", "dag_run", "xcom")
        ]


def test_a_scheduler_that_is_not_ready_a_missing_dag_an_unserialized_one_and_a_backup_that_failed(
    place: Place, loaded: Said
) -> None:
    backed_up(place.cluster, "PartiallyFailed")
    with not_ready(place.cluster, "scheduler") as pod, unserialized(place.airflow, "calculate_indicators"):
        said = place.verify(
            "--dags=calculate_indicators,nowhere", "--config-table=other.place", "--indicators-dag=data_collection"
        )
    assert said.states == ["FAILED", "FAILED", "FAILED", "ok", "ok", "open", "ok", "FAILED", "FAILED", "ok"], (
        said.output
    )
    assert f"{pod} on pi-" in said.texts[0]
    assert "2/3 containers ready (scheduler: CrashLoopBackOff)" in said.texts[0]
    assert f"kubectl describe pod {pod}" in said.texts[0]
    assert "not in Airflow, or stale: nowhere; no import error" in said.texts[1]
    assert "no serialized DAG of calculate_indicators, nowhere: kubectl exec" in said.texts[2]
    assert "SELECT * FROM other.place" in said.texts[5]
    assert "no run of data_collection was triggered by" in said.texts[7]
    assert "data_collection is paused: kubectl exec" in said.texts[7]
    assert said.texts[8] == "backup daily-1 is PartiallyFailed: velero backup describe daily-1 --details"


def test_the_incident_a_wrong_password_and_a_backup_that_is_late(place: Place, loaded: Said) -> None:
    backed_up(place.cluster, hours=30)
    with not_ready(place.cluster, "triggerer") as pod, multi_attach(place.cluster, pod):
        said = place.verify(AIRFLOW_USERNAME="admin", AIRFLOW_PASSWORD="admin123")
    assert said.states == ["FAILED", *["open"] * 7, "FAILED", "ok"], said.output
    assert f"{pod} on pi-" in said.texts[0] and 'Multi-Attach error for volume "pvc-1"' in said.texts[0]
    assert "docs/how-to/from-the-incident.md" in said.texts[0]
    assert "refuses user admin (401): set AIRFLOW_USERNAME and AIRFLOW_PASSWORD" in said.texts[1]
    assert said.texts[2:8] == ["as item 2"] * 6
    assert "one was due at" in said.texts[8]
    assert "admin123" not in said.output


def test_an_airflow_that_does_not_answer_and_a_schedule_without_the_jobs(place: Place, loaded: Said) -> None:
    backed_up(place.cluster, includedNamespaces=[NAMESPACE])
    said = verify(place.cluster, "--airflow-url=http://127.0.0.1:1")
    assert said.states == ["ok", *["open"] * 7, "FAILED", "FAILED"], said.output
    assert "Airflow cannot be asked: http://127.0.0.1:1 does not answer" in said.texts[1]
    assert "no Schedule of Velero includes all of namespace etl-jobs" in said.texts[8]
    assert "nor by kubectl port-forward: kubectl get pods" in said.texts[9]


def test_an_airflow_that_only_port_forward_reaches_and_pods_that_are_gone(
    place: Place, loaded: Said, tmp_path: Path
) -> None:
    """The stand-in forwards to the Airflow beside the cluster; the nodes could not."""
    place.cluster.kubectl("delete", "pods", "--all", "--namespace", JOBS)
    backed_up(place.cluster)
    [real] = place.cluster.run("which", "kubectl").stdout.split()
    script = f'[[ $1 != port-forward ]] || {{ echo "Forwarding from 127.0.0.1:{place.screener.port} -> 8080"; exec sleep 60; }}\nexec {real} "$@"'
    (tmp_path / "kubectl").write_text(f"#!/usr/bin/env bash\n{script}\n")
    (tmp_path / "kubectl").chmod(0o755)
    said = verify(place.cluster, PATH=f"{tmp_path}:{place.cluster.env['PATH']}")
    assert said.states == [*["ok"] * 9, "FAILED"], said.output
    assert "load[0] cpu 500m memory 1Gi; load[1] cpu 250m memory 512Mi, as in the table" in said.texts[6]
    assert "https://airflow.example.org does not answer" in said.texts[9]
    assert "it does by kubectl port-forward" in said.texts[9]


@contextmanager
def not_ready(cluster: Cluster, component: str) -> Iterator[str]:
    """One container of a pod, for the length of a `with`. Its name."""
    [pod] = cluster.objects("pods", NAMESPACE, f"--selector=component={component}")
    name, good = pod["metadata"]["name"], pod["status"]["containerStatuses"]
    [first, *others] = good
    bad = [{**first, "ready": False, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}, *others]
    patch = ("patch", "pod", name, "--namespace", NAMESPACE, *SUBRESOURCE)
    cluster.kubectl(*patch, json.dumps({"status": {"containerStatuses": bad}}))
    yield name
    cluster.kubectl(*patch, json.dumps({"status": {"containerStatuses": good}}))


@contextmanager
def unserialized(airflow: Airflow, dag_id: str) -> Iterator[None]:
    with sql.create_engine(airflow.url).connect() as database:
        rename = sql.text("UPDATE serialized_dag SET dag_id = :new WHERE dag_id = :old")
        for old, new in ((dag_id, "elsewhere"), ("elsewhere", dag_id)):
            database.execute(rename, {"old": old, "new": new})
            database.commit()
            if old == dag_id:
                yield


@contextmanager
def multi_attach(cluster: Cluster, pod: str) -> Iterator[None]:
    """The attach-detach controller's event, as test_incident.py sees it for real."""
    uid = cluster.kubectl("get", "pod", pod, f"--namespace={NAMESPACE}", "--output=jsonpath={.metadata.uid}")
    event = {
        "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "FailedAttachVolume",
        "metadata": {"name": "incident", "namespace": NAMESPACE},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": pod, "namespace": NAMESPACE, "uid": uid},
        "message": 'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) airflow-scheduler-0',
    }  # fmt: skip
    cluster.kubectl("create", "--filename=-", stdin=json.dumps(event))
    yield
    cluster.kubectl("delete", "event", "incident", "--namespace", NAMESPACE)
