"""What OpenShift is given: no id of ours, and nothing that Kubernetes does not know."""

from __future__ import annotations

import re

import pytest
import yaml

from scripts.local.cluster.cluster import Cluster
from scripts.manage.layers.chart import archive
from scripts.manage.layers.environments import NAMESPACE
from tests.helpers.charts import ON_OPENSHIFT, OUR_CHART, Case, manifests, template

pytestmark = [
    pytest.mark.fake_nodes,  # nothing is installed
    pytest.mark.skipif(not archive(), reason="the official chart's archive is not here (make tools)"),
]


def rendered(case: Case) -> str:
    """Both charts, as deploy installs them."""
    chart = archive()
    assert chart
    return "\n---\n".join(
        (template("airflow-platform", OUR_CHART, case.our_files), template("airflow", chart, case.files))
    )


@pytest.mark.parametrize("case", ON_OPENSHIFT, ids=str)
def test_no_id_is_asked_for_and_the_api_server_takes_all_of_it_strictly(case: Case, cluster: Cluster) -> None:
    text = rendered(case)
    assert not re.findall(r"^.*\b(?:runAsUser|runAsGroup|fsGroup|supplementalGroups):.*$", text, re.MULTILINE)
    objects = [each for each in manifests(text) if each["kind"] != "Namespace"]
    places = {each["metadata"].setdefault("namespace", NAMESPACE) for each in objects}
    for place in sorted(places):
        cluster.kubectl("create", "namespace", place)
    words = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename", "-")
    cluster.kubectl(*words, stdin=yaml.safe_dump_all(objects))
