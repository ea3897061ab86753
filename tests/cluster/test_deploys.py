"""Every environment on a real API server: it comes, comes again without a change, goes on from older ones, back, and away."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.local.cluster.cluster import JOBS, Cluster
from scripts.manage.layers.chart import archive, cached
from scripts.manage.layers.environments import NAMESPACE, environments
from tests.cluster import checkouts
from tests.cluster.contents import Contents, changes, contents, written
from tests.cluster.deployment import Deployment, how_to

pytestmark = [
    pytest.mark.fake_nodes,  # on a real one no pod of ours starts: bucket, roles and database are examples
    pytest.mark.skipif(not archive(), reason="the official chart's archive is not here (make tools)"),
]

# What a second deploy of the same input makes again, and why.
AGAIN = {
    ("changed", "Job", "airflow-run-airflow-migrations"): "deploy deletes it first: no Job can be changed",
    ("changed", "Job", "airflow-create-user"): "likewise",
    ("made", "Pod", "airflow-run-airflow-migrations-*"): "the Job's",
    ("made", "Pod", "airflow-create-user-*"): "the Job's",
    ("deleted", "Pod", "airflow-run-airflow-migrations-*"): "the deleted Job's",
    ("deleted", "Pod", "airflow-create-user-*"): "the deleted Job's",
}

# What stays in the cluster when both releases are uninstalled (docs/how-to/deploy.md), and why.
STAYS = {
    ("made", "Namespace", NAMESPACE): "what is below is in it",
    ("made", "Namespace", JOBS): "jobs may be running in it, annotation helm.sh/resource-policy",
    ("made", "ServiceAccount", "default"): "Kubernetes' own, in every namespace",
    ("made", "ConfigMap", "kube-root-ca.crt"): "likewise",
    ("made", "Secret", "airflow-keys"): "made by deploy and not by Helm: its fernet key reads the stored connections",
    ("made", "Secret", "airflow-admin"): "likewise: the password of a user in the database",
    ("made", "Secret", "airflow-database"): "likewise: the database's",
}
STAYS_ON_PI = {
    ("made", "PersistentVolumeClaim", "data-airflow-postgresql-0"): "the database itself",
    ("made", "PersistentVolume", "pvc-*"): "of that claim",
}  # fmt: skip

# Not compared between revisions: they follow from the others, with names of their own, or are made again on purpose.
FOLLOWING = ("Pod", "ReplicaSet", "Job", "EndpointSlice", "ControllerRevision", "VolumeAttachment")


def unnamed(found: set[tuple[str, str, str]]) -> set[tuple[str, str, str]]:
    """Changes with the random part of names cut off."""
    short = r"(?<=^pvc-)[0-9a-f-]{36}$|(?<=^airflow-create-user-)\w{5}$|(?<=^airflow-run-airflow-migrations-)\w{5}$"
    return {(what, kind, re.sub(short, "*", name)) for what, kind, name in found}


def pods(cluster: Cluster) -> dict[str, str]:
    """Name and uid of those that stay: not those of Jobs."""
    found = [pod["metadata"] for pod in cluster.objects("pods")]
    return {pod["name"]: pod["uid"] for pod in found if pod["ownerReferences"][0]["kind"] != "Job"}


def revisions(cluster: Cluster) -> dict[str, str]:
    """The state of each release."""
    listed = yaml.safe_load(cluster.helm("list", "--namespace", NAMESPACE, "--all", "--output", "json"))
    return {release["name"]: release["status"] for release in listed}


def secret(cluster: Cluster, name: str) -> dict[str, str]:
    """Its data, encoded."""
    [found] = cluster.objects("secrets", NAMESPACE, f"--field-selector=metadata.name={name}")
    data: dict[str, str] = found["data"]
    return data


DEPLOYED = {"airflow": "deployed", "airflow-platform": "deployed"}


BEFORE = checkouts.revision_before()
UPGRADED = ("pi", "prod") if BEFORE else ()


IN_FULL = pytest.mark.exhaustive("cluster")
OTHERS = [env for env in environments() if env not in UPGRADED]


@pytest.mark.parametrize("env", [pytest.param(env, marks=[] if env == "pi" else IN_FULL) for env in OTHERS])
def test_an_environment_comes_stays_the_same_and_goes(cluster: Cluster, env: str, tmp_path: Path) -> None:
    place, empty = Deployment(cluster, env, tmp_path), contents(cluster)
    comes(place)
    stays_the_same(place)
    keeps_others_out(place)
    goes(place, empty)


@pytest.mark.skipif(not BEFORE, reason="this is no clone, or a shallow one: our version before is not in it")
@pytest.mark.parametrize("env", [pytest.param(env, marks=[IN_FULL] if env == "prod" else []) for env in UPGRADED])
def test_our_version_before_goes_on_to_this_one_and_back(cluster: Cluster, env: str, tmp_path: Path) -> None:
    place, empty = Deployment(cluster, env, tmp_path), contents(cluster)
    place.by(checkouts.of_revision(BEFORE, tmp_path / "before")).deploy()
    old = written(contents(cluster), *FOLLOWING)
    comes(place)
    stays_the_same(place)
    keeps_others_out(place)
    new = written(contents(cluster), *FOLLOWING)
    claims = cluster.objects("persistentvolumeclaims")

    place.go_back("1")
    assert written(contents(cluster), *FOLLOWING) == old
    place.go_back("2")
    assert written(contents(cluster), *FOLLOWING) == new
    assert revisions(cluster) == DEPLOYED
    assert cluster.objects("persistentvolumeclaims") == claims
    goes(place, empty)


def comes(place: Deployment) -> None:
    """Helm asks for no strict validation: of a field that Kubernetes does not have it passes a warning on, and drops it."""
    assert "Warning" not in place.deploy().stderr
    take_strictly(place.cluster)


def take_strictly(cluster: Cluster) -> None:
    """Raises Failed where the API server does not know a field."""
    parts = [(part, release) for part in ("manifest", "hooks") for release in DEPLOYED]
    texts = [cluster.helm("get", *part, "--namespace", NAMESPACE) for part in parts]
    objects = [each for text in texts for each in yaml.safe_load_all(text) if each]
    for each in objects:  # kubectl's --namespace would refuse those of another
        if each["kind"] != "Namespace":
            each["metadata"].setdefault("namespace", NAMESPACE)
    words = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "--filename", "-")
    cluster.kubectl(*words, stdin=yaml.safe_dump_all(objects))


def stays_the_same(place: Deployment) -> None:
    """Whatever is deployed again."""
    before, running = contents(place.cluster), pods(place.cluster)
    place.deploy()
    assert unnamed(changes(before, contents(place.cluster))) == set(AGAIN)
    assert pods(place.cluster) == running, "no pod was restarted"


def keeps_others_out(place: Deployment) -> None:
    """`deploy pi` replaced a running dev, and kept its secrets."""
    before = contents(place.cluster)
    other = replace(place, env="dev" if place.env == "pi" else "pi")
    refused = other.deploy(check=False)
    assert refused.returncode == 2 and f"has environment {place.env}, not {other.env}" in refused.stderr
    assert changes(before, contents(place.cluster)) == set()


def goes(place: Deployment, empty: Contents) -> None:
    """All but what is to stay."""
    place.uninstall()
    stays = {**STAYS, **(STAYS_ON_PI if place.env == "pi" else {})}
    place.cluster.wait(
        f"nothing to be left but {sorted(name for *_, name in stays)}",
        lambda: unnamed(changes(empty, contents(place.cluster))) == set(stays),
    )


AS_BEFORE = "manage.sh: Airflow is as it was before"


@IN_FULL
def test_a_deploy_that_fails_half_way_takes_itself_back(cluster: Cluster, tmp_path: Path) -> None:
    place = Deployment(cluster, "pi", tmp_path)
    checkout = checkouts.working_copy(tmp_path / "checkout")
    checkouts.edit(checkout, "values/airflow-platform/platform/pi.yaml", 'pods: "40"', 'pods: "41"')
    checkouts.edit(checkout, "values/env/pi.yaml", "domain:", "nodeSelector: {kubernetes.io/arch: s390x}\ndomain:")
    wrong = place.by(checkout)

    assert AS_BEFORE in wrong.deploy("--timeout", "2s", check=False).stderr
    assert revisions(cluster) == {}, "a first one is taken away again"
    kept = {key: each for key, each in contents(cluster).items() if key[0] in ("Secret", "PersistentVolumeClaim")}
    assert len(kept) == 4

    place.deploy()
    now = contents(cluster)
    assert kept == {key: now[key] for key in kept}, "what stays is taken up again"
    before, running = written(now, *FOLLOWING), pods(cluster)
    assert AS_BEFORE in wrong.deploy("--timeout", "2s", check=False).stderr
    assert revisions(cluster) == DEPLOYED
    cluster.wait("every pod to be of the deploy before", cluster.settled)
    assert written(contents(cluster), *FOLLOWING) == before
    recreated = {name for name in running if name.startswith("airflow-dag-processor-")}
    assert running.items() - pods(cluster).items() == {(name, running[name]) for name in recreated}, (
        "pods that ran were left alone, but for the one that is never two at once"
    )


GIT_SYNC = {
    "enabled": True,
    "repo": "https://github.com/example-org/financial-screener.git",
    "branch": "main",
    "subPath": "airflow/dags",
}
# How somebody has Airflow 3.1 with the chart before ours, by its own guide.
PLAIN: dict[str, dict[str, Any]] = {
    "pi": {"executor": "LocalExecutor", "dags": {"gitSync": GIT_SYNC}},
    "dev": {
        "executor": "CeleryExecutor",
        "dags": {"gitSync": GIT_SYNC},
        "postgresql": {"enabled": False},
        "pgbouncer": {"enabled": True},
        "data": {
            "metadataConnection": {"user": "airflow", "pass": "secret", "host": "db.example.org", "db": "airflow"}
        },
    },
}


@pytest.mark.skipif(not cached("1.20.0").exists(), reason=f"the chart is not here: {cached('1.20.0')}")
@pytest.mark.parametrize("env", PLAIN)
@IN_FULL
def test_a_release_of_chart_1_20_goes_on_to_ours(cluster: Cluster, env: str, tmp_path: Path) -> None:
    values = tmp_path / "plain.yaml"
    values.write_text(yaml.safe_dump(PLAIN[env]))
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.helm("install", "airflow", cached("1.20.0"), "--namespace", NAMESPACE, "--values", values)
    cluster.wait("the old release to run", cluster.settled)
    claims = {claim["metadata"]["uid"] for claim in cluster.objects("persistentvolumeclaims")}

    place = Deployment(cluster, env, tmp_path)
    refused = place.deploy(check=False)
    assert refused.returncode == 2
    assert "make airflow-keys of it first: docs/how-to/from-the-incident.md, " in refused.stderr
    assert revisions(cluster) == {"airflow": "deployed"} and cluster.settled()
    for text in STEPS[env]:
        cluster.run("bash", "-c", how_to("from-the-incident.md", text))
    place.deploy()

    assert revisions(cluster) == DEPLOYED
    assert claims <= {claim["metadata"]["uid"] for claim in cluster.objects("persistentvolumeclaims")}
    keys = [secret(cluster, name)["fernet-key"] for name in ("airflow-fernet-key", "airflow-keys")]
    assert keys[0] == keys[1], "stored connections can still be read"


STEPS = {"pi": ("password=$(old airflow-postgresql", "--cascade=orphan"), "dev": ("fernet=$(kubectl get",)}
