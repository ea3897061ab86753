"""Two hundred packages: each has its service account for job pods, and all of them one policy, one quota and one role."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.local.cluster.cluster import JOBS, Cluster
from scripts.local.outputs import NUMBER, ROLE, names, outputs
from scripts.manage.layers.environments import NAMESPACE, environment
from tests.cluster.rights import Reviewer
from tests.helpers.charts import OUR_CHART

EVERY_NAMESPACE = {"default", "kube-root-ca.crt"}  # Kubernetes' own
KINDS = "serviceaccounts,roles,rolebindings,networkpolicies,resourcequotas,limitranges,configmaps,secrets"


@pytest.fixture
def there(cluster: Cluster, tmp_path: Path) -> Cluster:
    """With our chart as dev has it, and many packages."""
    files = [*environment("dev").layer_files("airflow-platform"), outputs(tmp_path)]
    values = [word for file in files for word in ("--values", file)]
    cluster.helm("install", "airflow-platform", OUR_CHART, "--namespace", NAMESPACE, "--create-namespace", *values)
    return cluster


def test_each_of_200_packages_has_an_account_and_nothing_else_is_per_package(there: Cluster) -> None:
    found = {(one["kind"], one["metadata"]["name"]): one for one in there.objects(KINDS, JOBS)}
    accounts = {name: one for (kind, name), one in found.items() if kind == "ServiceAccount" and name not in EVERY_NAMESPACE}  # fmt: skip
    assert sorted(accounts) == [name.replace("_", "-") for name in names()] and len(accounts) == NUMBER
    for name in names():
        check_account(accounts[name.replace("_", "-")], name)
    assert {key for key in found if key[0] != "ServiceAccount" and key[1] not in EVERY_NAMESPACE} == {
        ("Role", "airflow-job-launcher"),
        ("RoleBinding", "airflow-job-launcher"),
        ("Role", "airflow-job-cleanup"),
        ("RoleBinding", "airflow-job-cleanup"),
        ("NetworkPolicy", "jobs"),
        ("ResourceQuota", "jobs"),
        ("LimitRange", "jobs"),
    }
    check_a_job_of_one(there, "team007_etl")


def check_account(account: dict[str, Any], package: str) -> None:
    labels, annotations = account["metadata"]["labels"], account["metadata"]["annotations"]
    assert labels["app"] == package and labels["app.kubernetes.io/managed-by"] == "Helm"
    assert annotations["eks.amazonaws.com/role-arn"] == ROLE.format(package)
    assert account["automountServiceAccountToken"] is False and "secrets" not in account


def check_a_job_of_one(cluster: Cluster, package: str) -> None:
    account, name = package.replace("_", "-"), f"{JOBS}:{package.replace('_', '-')}"
    ask = Reviewer(cluster.kubeconfig)
    assert not ask.rights(name, JOBS) and not ask.rights(name, NAMESPACE)
    security = {"runAsNonRoot": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "base", "image": "i", "securityContext": security | {"seccompProfile": {"type": "RuntimeDefault"}}}  # fmt: skip
    spec = {"serviceAccountName": account, "containers": [container]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "job", "labels": {"app": package}}, "spec": spec}
    cluster.kubectl("create", "--namespace", JOBS, "--filename", "-", stdin=json.dumps(pod))
    [taken] = cluster.objects("pods", JOBS)
    assert taken["spec"]["serviceAccountName"] == account
    assert "volumes" not in taken["spec"], "it has no token"
    assert taken["spec"]["containers"][0]["resources"]["limits"] == {"memory": "1Gi"}
    [quota] = cluster.objects("resourcequotas", JOBS)
    assert quota["status"]["used"]["pods"] == "1" and quota["status"]["used"]["limits.memory"] == "1Gi"
    [policy] = cluster.objects("networkpolicies", JOBS)
    assert policy["spec"]["podSelector"] == {}, "it is every pod's there"
