"""The incident on the real controllers: it happens with the values that broke the Pi cluster, and ends with the shipped ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.layers.chart import cached
from scripts.layers.environments import NAMESPACE, ROOT
from tests.cluster.cluster import Cluster
from tests.helpers.charts import INCIDENT

OLD = cached("1.18.0")  # of the Pi cluster, with Airflow 3.0.2
needs_old_chart = pytest.mark.skipif(not OLD.exists(), reason=f"the chart that broke is not here: {OLD}")


def install(cluster: Cluster) -> None:
    """The Pi cluster as it was."""
    [values] = INCIDENT.extra
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.helm("install", "airflow", OLD, "--namespace", NAMESPACE, "--values", values)


def multi_attach(cluster: Cluster) -> dict[str, str]:
    """What the attach-detach controller says about several pods and one volume, by pod."""
    events = cluster.objects("events", NAMESPACE, "--field-selector=reason=FailedAttachVolume")
    return {e["involvedObject"]["name"]: e["message"] for e in events if "Multi-Attach" in e["message"]}


@needs_old_chart
@pytest.mark.fake_nodes
def test_the_incident_s_values_give_one_volume_to_three_nodes(cluster: Cluster) -> None:
    install(cluster)
    said = cluster.wait("a Multi-Attach error", lambda: multi_attach(cluster))
    assert said
    print(said)
