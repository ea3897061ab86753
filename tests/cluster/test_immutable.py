"""What no upgrade from the incident's release can change, in the API server's words (docs/how-to/from-the-incident.md, its end)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.local.cluster.cluster import Cluster, Failed
from scripts.manage.layers.chart import archive, cached
from scripts.manage.layers.environments import NAMESPACE
from tests.cluster.conftest import a_cluster
from tests.helpers.charts import INCIDENT

pytestmark = [
    pytest.mark.exhaustive("cluster"),
    pytest.mark.fake_nodes,  # on real ones the incident would happen
    pytest.mark.skipif(not archive(), reason="the official chart's archive is not here (make tools)"),
]

OLDEST = cached("1.18.0")
STATEFUL_SET = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
CLAIM = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
WITH_CLAIMS = ["airflow-postgresql", "airflow-scheduler", "airflow-triggerer"]
PARTS = ("triggerer.persistence", "workers.celery.persistence", "postgresql.primary.persistence")

# What the release of the incident takes of one more setting in chart 1.22.0: which objects are refused, and in which words.
TAKES: dict[str, tuple[tuple[str, ...], list[str], str]] = {
    "nothing more": ((), [], ""),
    "the claim's access mode": (("dags.persistence.accessMode=ReadWriteMany",), ["airflow-dags"], CLAIM),
    "the size of claims": (tuple(f"{part}.size=9Gi" for part in PARTS), WITH_CLAIMS, STATEFUL_SET),
    "the class of claims": (
        tuple(f"{part}.storageClass{'' if 'primary' in part else 'Name'}=longhorn" for part in PARTS),
        WITH_CLAIMS,
        STATEFUL_SET,
    ),
    "logs in one claim": (("logs.persistence.enabled=true",), WITH_CLAIMS[1:], STATEFUL_SET),
    "labels, names and retention": (
        ("labels.team=data", "useStandardNaming=true", "workers.celery.persistence.persistentVolumeClaimRetentionPolicy.whenDeleted=Retain"),
        [],
        "",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def incident(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """With what the release that broke was made of; no test changes it."""
    if not OLDEST.exists():
        pytest.skip(f"the chart is not here: {OLDEST}")
    with a_cluster(request.config, tmp_path_factory.mktemp("incident")) as cluster:
        cluster.kubectl("create", "namespace", NAMESPACE)
        cluster.kubectl(*apply_words(), stdin=incident_render(cluster, OLDEST))
        yield cluster


INCIDENT_VALUES = ("--values", *map(str, INCIDENT.extra))


def apply_words() -> tuple[str, ...]:
    """Server-side, so that what a later one leaves out is taken away, as by an upgrade; Helm's own dry run asks nobody."""
    return ("apply", "--server-side", "--namespace", NAMESPACE, "--filename", "-")


def incident_render(cluster: Cluster, chart: Path | None, *settings: str) -> str:
    """Its values in a chart, with more settings."""
    more = [word for one in settings for word in ("--set", one)]
    words = ("--no-hooks", "--namespace", NAMESPACE, "--kube-version", "1.36", *INCIDENT_VALUES)
    return cluster.helm("template", "airflow", chart or "", *words, *more)


@pytest.mark.parametrize("setting", TAKES)
def test_what_an_upgrade_cannot_change_is_refused_by_the_api_server(incident: Cluster, setting: str) -> None:
    settings, refused, words = TAKES[setting]
    rendered = incident_render(incident, archive(), *settings)
    said = incident.run("kubectl", *apply_words(), "--dry-run=server", stdin=rendered, check=False).stderr
    errors = [line for line in said.splitlines() if " is invalid: " in line]
    assert sorted(name for line in errors for name in re.findall(r'"([^"]+)" is invalid', line)) == refused, said
    assert all(words in line for line in errors)


def test_stored_values_of_chart_1_18_do_not_pass_the_schema_of_1_22(incident: Cluster) -> None:
    incident.helm("install", "airflow", OLDEST, "--namespace", "stored", "--create-namespace", "--no-hooks", *INCIDENT_VALUES)  # fmt: skip
    words = ("upgrade", "airflow", archive() or "", "--namespace", "stored", "--no-hooks", "--dry-run=server")
    with pytest.raises(Failed, match="enableBuiltInSecretEnvVars"):
        incident.helm(*words, "--reuse-values")
    incident.helm(*words, "--reset-then-reuse-values")
