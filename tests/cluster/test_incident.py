"""The incident on the real controllers: it happens with the values that broke the Pi cluster, and ends with the shipped ones.

Without the charts the same is shown with workloads built again from the kept inventories.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest
import yaml

from scripts.local.cluster.cluster import EVERYWHERE, Cluster
from scripts.manage.layers.chart import archive, cached
from scripts.manage.layers.environments import NAMESPACE
from scripts.pinned import ROOT, versions
from tests.cluster import from_inventory
from tests.helpers.charts import CASES, ENVIRONMENTS, INCIDENT, ours
from tests.helpers.facts import Facts, merge, take
from tests.helpers.inventory import read

OLD = cached("1.18.0")  # of the Pi cluster, with Airflow 3.0.2
PI = next(case for case in ENVIRONMENTS if case.name == "pi")
THREE = ("airflow-dag-processor", "airflow-scheduler", "airflow-triggerer")  # that mount the claim

pytestmark = pytest.mark.fake_nodes
needs_charts = pytest.mark.skipif(
    not (OLD.exists() and archive()),
    reason=f"the charts {OLD.name} and {cached(versions()['chart']).name} are not in {OLD.parent}",
)


def install_the_incident(cluster: Cluster, how: str) -> None:
    """The Pi cluster as it was, and it is broken."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    if how == "chart":
        [values] = INCIDENT.extra
        cluster.helm("install", "airflow", OLD, "--namespace", NAMESPACE, "--values", values)
    else:
        apply(cluster, read(INCIDENT), NAMESPACE)
    cluster.wait("the volume to be on one node, and an error for each pod elsewhere", lambda: stuck(cluster))


def apply(cluster: Cluster, facts: Facts, namespace: str) -> None:
    """Workloads from an inventory."""
    text = yaml.safe_dump_all(from_inventory.objects(facts, namespace))
    cluster.kubectl("apply", "--server-side", "--filename", "-", stdin=text)


def readers(cluster: Cluster) -> dict[str, Facts]:
    """Pods that mount the claim, by name."""
    return {
        pod["metadata"]["name"]: pod
        for pod in cluster.objects("pods")
        if any(v.get("persistentVolumeClaim", {}).get("claimName") == "airflow-dags" for v in pod["spec"]["volumes"])
    }


def stuck(cluster: Cluster) -> set[str]:
    """The pods that wait for the volume; none before all have a node, one node has the volume, and each other node its error.

    The controller reports once for a node and volume, however many pods wait there.
    """
    pods = readers(cluster)
    places = {name: pod["spec"].get("nodeName") for name, pod in pods.items()}
    having = {places[name] for name, pod in pods.items() if pod["status"]["phase"] == "Running"}
    waiting = {name for name, place in places.items() if place not in having}
    complete = len(pods) >= len(THREE) and all(places.values()) and len(having) == 1
    reported = {places[name] for name in cluster.multi_attach() if name in places}
    return waiting if complete and {places[name] for name in waiting} <= reported else set()


@pytest.mark.parametrize("how", [pytest.param("chart", marks=needs_charts), "inventory"])
def test_one_volume_for_three_nodes_is_the_error_of_the_assessment(cluster: Cluster, how: str) -> None:
    install_the_incident(cluster, how)
    waiting, pods = stuck(cluster), readers(cluster)
    assert sorted(name for pod in pods for name in THREE if pod.startswith(name)) == sorted(THREE)
    users = " *".join(f"(?:{name},?)?" for name in set(pods) - waiting)
    for message in cluster.multi_attach().values():
        assert re.fullmatch(
            rf'Multi-Attach error for volume "pvc-[0-9a-f-]{{36}}" Volume is already used by pod\(s\) {users}', message
        )

    cluster.kubectl(
        "cordon", *{pod["spec"]["nodeName"] for pod in pods.values()}
    )  # beside the volume a pod would start
    cluster.kubectl("rollout", "restart", "deployment/airflow-dag-processor", "--namespace", NAMESPACE)
    cluster.wait(
        "a new dag-processor that waits, as in the assessment",
        lambda: any(name.startswith(THREE[0]) and name not in pods for name in stuck(cluster)),
    )


def steps(*numbers: int) -> str:
    """The lines of the guide's steps."""
    text = (ROOT / "docs/how-to/from-the-incident.md").read_text()
    parts = dict(re.findall(r"^(\d)\. (.*?)(?=^\d\. |^## |\Z)", text, re.DOTALL | re.MULTILINE))
    return "\n".join(
        ["set -euo pipefail", *(re.findall(r"```sh\n(.*?)```", parts[str(number)], re.DOTALL)[0] for number in numbers)]
    )


@needs_charts
@pytest.mark.exhaustive("cluster")
@pytest.mark.parametrize("keep", [True, False], ids=["claim kept", "claim not kept"])
def test_the_guide_s_steps_end_it(cluster: Cluster, keep: bool) -> None:
    install_the_incident(cluster, "chart")
    [old] = cluster.objects("persistentvolumeclaims", NAMESPACE, "--field-selector=metadata.name=airflow-dags")
    began = datetime.now(UTC)
    cluster.run("bash", "-c", steps(*([2] if keep else []), 4, 5))
    diff = cluster.manage("diff", "pi", check=False)
    assert diff.returncode == 4, diff.stderr
    claim = "would stay without an owner" if keep else "would be deleted"
    assert f"{claim}: PersistentVolumeClaim/airflow-dags\n" in diff.stdout
    assert "would be deleted: StatefulSet/airflow-scheduler\n" in diff.stdout
    assert "would be removed: Deployment/airflow-dag-processor: spec.strategy.rollingUpdate\n" in diff.stdout
    cluster.manage("deploy", "pi", "--yes")
    cluster.wait("every pod to start", cluster.settled)
    assert not cluster.multi_attach(since=began)
    assert not readers(cluster)
    claims = {claim["metadata"]["name"]: claim for claim in cluster.objects("persistentvolumeclaims")}
    assert {"data-airflow-postgresql-0", "logs-airflow-scheduler-0", "logs-airflow-triggerer-0"} <= set(claims)
    if keep:
        assert claims["airflow-dags"]["metadata"]["uid"] == old["metadata"]["uid"]
        assert claims["airflow-dags"]["status"]["phase"] == "Bound"
        diff = cluster.manage("diff", "pi")
        assert not diff.stdout, diff.stdout
        cluster.manage("deploy", "pi", "--yes")
        assert "airflow-dags" in {claim["metadata"]["name"] for claim in cluster.objects("persistentvolumeclaims")}
    else:
        assert "airflow-dags" not in claims


def test_what_the_shipped_values_make_of_it_ends_it(cluster: Cluster) -> None:
    """On the same workloads, without Helm and the charts."""
    install_the_incident(cluster, "inventory")
    began = datetime.now(UTC)
    old, new = (
        {(each["kind"], each["metadata"]["name"]) for each in from_inventory.objects(read(case), NAMESPACE)}
        for case in (INCIDENT, PI)
    )
    for kind, name in old - new:  # as an upgrade does
        cluster.kubectl("delete", kind, name, "--namespace", NAMESPACE, "--wait=false")
    apply(cluster, read(PI), NAMESPACE)
    cluster.wait("every pod to start", cluster.settled)
    assert not readers(cluster) and not cluster.multi_attach(since=began)


@pytest.mark.exhaustive("cluster")
def test_no_inventory_shares_a_volume_between_nodes(cluster: Cluster) -> None:
    """Every environment, delivery, executor and option on the real controllers at once."""
    places = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": str(case)}} for case in CASES]
    workloads = [
        each for case in CASES for each in from_inventory.objects(merge(read(case), take(ours(case))), str(case))
    ]
    everything = {"apiVersion": "v1", "kind": "List", "items": [*places, *workloads]}
    cluster.kubectl("apply", "--server-side", "--filename", "-", stdin=json.dumps(everything))
    cluster.wait("every pod to start", lambda: cluster.settled(EVERYWHERE), seconds=180)
    assert {each["metadata"]["namespace"] for each in cluster.objects("deployments", EVERYWHERE)} == set(
        map(str, CASES)
    )
    assert not cluster.multi_attach(EVERYWHERE)
