"""Twenty rounds of nodes that die, drains and rollouts with the shipped values of `pi`: nobody waits for another's volume.

The order and the nodes are random; which happen is not, so that each is there.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable

import pytest
import yaml

from scripts.local.cluster.cluster import Cluster
from scripts.manage.layers.chart import archive
from scripts.manage.layers.environments import NAMESPACE
from tests.cluster import from_inventory
from tests.helpers.charts import ENVIRONMENTS
from tests.helpers.inventory import read

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"  # docs/how-to/operate.md, a Pi dies

pytestmark = pytest.mark.fake_nodes


def nodes_of_ours(cluster: Cluster) -> list[str]:
    """Nodes with pods of Airflow, sorted."""
    return sorted({pod["spec"]["nodeName"] for pod in cluster.objects("pods") if pod["status"]["phase"] == "Running"})


def node_of_postgresql(cluster: Cluster) -> str:
    """Where it is, or waits to be."""

    def node() -> str | None:
        pods = cluster.objects("pods", NAMESPACE, "--field-selector=metadata.name=airflow-postgresql-0")
        return next((pod["spec"].get("nodeName") for pod in pods), None)

    return str(cluster.wait("the database's pod to have a node", node))


def given_up(cluster: Cluster, node: str) -> bool:
    """Whether every pod of ours on a node is at least on its way out."""
    pods = cluster.objects("pods", NAMESPACE, f"--field-selector=spec.nodeName={node},status.phase!=Succeeded")
    return not cluster.is_ready(node) and all(pod["metadata"].get("deletionTimestamp") for pod in pods)


def dies(cluster: Cluster, node: str) -> None:
    """The node dies and the operator does what the guide says; later it comes back."""
    cluster.power(node, on=False)
    cluster.wait(f"the pods of {node} to be given up", lambda: given_up(cluster, node))
    held_the_database = node_of_postgresql(cluster) == node
    if held_the_database:
        assert not cluster.settled(), "a StatefulSet makes no second pod while the first may still write"
        cluster.kubectl("taint", "node", node, OUT_OF_SERVICE)
    cluster.wait(f"Airflow without {node}", cluster.settled)
    cluster.power(node, on=True)
    cluster.wait(f"{node} to come back", lambda: cluster.is_ready(node))
    if held_the_database:
        cluster.kubectl("taint", "node", node, f"{OUT_OF_SERVICE}-")


def dies_and_all_rolls_out(cluster: Cluster, node: str) -> None:
    """A deploy while a node is dead: its dag-processor, Terminating for ever, would hold up a Recreate."""
    cluster.power(node, on=False)
    cluster.wait(f"the pods of {node} to be given up", lambda: given_up(cluster, node))
    cluster.kubectl("taint", "node", node, OUT_OF_SERVICE)
    rolls_out(cluster, node)
    cluster.wait(f"Airflow without {node}", cluster.settled)
    cluster.power(node, on=True)
    cluster.wait(f"{node} to come back", lambda: cluster.is_ready(node))
    cluster.kubectl("taint", "node", node, f"{OUT_OF_SERVICE}-")


def blinks(cluster: Cluster, node: str) -> None:
    """The node is away for long enough to be called dead, and comes back."""
    cluster.power(node, on=False)
    cluster.wait(f"{node} to be called dead", lambda: not cluster.is_ready(node))
    cluster.power(node, on=True)
    cluster.wait(f"{node} to come back", lambda: cluster.is_ready(node))


def drains(cluster: Cluster, node: str) -> None:
    """The node is emptied for maintenance."""
    cluster.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s")
    cluster.wait(f"Airflow without {node}", cluster.settled)
    cluster.kubectl("uncordon", node)


def rolls_out(cluster: Cluster, node: str) -> None:
    """Everything is restarted, as by a change of values."""
    cluster.kubectl("rollout", "restart", "deployment", "--namespace", NAMESPACE)
    cluster.kubectl("rollout", "restart", "statefulset", "--namespace", NAMESPACE)


def rolls_out_and_dies(cluster: Cluster, node: str) -> None:
    rolls_out(cluster, node)
    dies(cluster, node)


def rolls_out_and_drains(cluster: Cluster, node: str) -> None:
    rolls_out(cluster, node)
    drains(cluster, node)


Happening = Callable[[Cluster, str], None]
AT_THE_DATABASE: list[Happening] = [*[dies] * 3, *[drains] * 2, dies_and_all_rolls_out]  # the only pod with a volume
ANYWHERE: list[Happening] = [
    *[dies] * 2, *[drains] * 2, *[blinks] * 2, *[rolls_out] * 3,
    *[rolls_out_and_dies] * 2, *[rolls_out_and_drains] * 2, dies_and_all_rolls_out,
]  # fmt: skip
ROUNDS = [*((happening, True) for happening in AT_THE_DATABASE), *((happening, False) for happening in ANYWHERE)]
assert len(ROUNDS) == 20


def deploy(cluster: Cluster) -> None:
    """The shipped values, or without the chart what the controllers decide by."""
    if archive():
        cluster.manage("deploy", "pi", "--yes")
    else:
        [pi] = [case for case in ENVIRONMENTS if case.name == "pi"]
        cluster.kubectl("create", "namespace", NAMESPACE)
        objects = yaml.safe_dump_all(from_inventory.objects(read(pi), NAMESPACE))
        cluster.kubectl("apply", "--server-side", "--filename", "-", stdin=objects)
    cluster.wait("Airflow to start", cluster.settled)


def test_twenty_rounds_without_a_multi_attach_error(cluster: Cluster, in_full: Callable[[str], bool]) -> None:
    """In part one of each kind, at a node of the database's where that is one of its kind."""
    seed = int(os.environ.get("AIRFLOW_PLATFORM_SEED") or random.SystemRandom().randrange(2**32))
    print(f"AIRFLOW_PLATFORM_SEED={seed}")
    chance = random.Random(seed)
    deploy(cluster)
    one_of_each = {happening: (happening, database) for happening, database in reversed(ROUNDS)}
    rounds = ROUNDS if in_full("cluster") else list(one_of_each.values())
    for number, (happening, database) in enumerate(chance.sample(rounds, len(rounds)), 1):
        node = node_of_postgresql(cluster) if database else chance.choice(nodes_of_ours(cluster))
        print(f"round {number}: {node} {happening.__name__}{' with the database' if database else ''}")
        happening(cluster, node)
        cluster.wait(f"Airflow after round {number}", cluster.settled)
        assert not cluster.multi_attach()
        attached = Counter(a["spec"]["source"]["persistentVolumeName"] for a in cluster.objects("volumeattachments"))
        assert set(attached.values()) == {1}, attached
