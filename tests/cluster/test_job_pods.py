"""Pods of tasks that ended go by age, on a real API server, with the rights of the account that cleans up."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kubernetes import client, config

import dag_job_pods
from scripts.local.cluster.cluster import JOBS, Cluster
from scripts.manage.layers.environments import NAMESPACE
from tests.helpers.charts import CASES, OUR_CHART

NOW = datetime(2026, 1, 10, tzinfo=UTC)
DAY = timedelta(days=1)
BY_OPERATOR = {"kubernetes_pod_operator": "True"}


def make(
    cluster: Cluster,
    name: str,
    phase: str,
    ended: datetime | None,
    labels: dict[str, str] = BY_OPERATOR,
    evicted: datetime | None = None,
) -> None:
    """A pod that nobody starts, with the status that a kubelet would have written."""
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": JOBS, "labels": labels},
        "spec": {
            "schedulingGates": [{"name": "tests/never"}],
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "base", "image": "i", "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}],
        },
    }  # fmt: skip
    cluster.kubectl("create", "--filename", "-", stdin=json.dumps(pod))
    state = {"terminated": {"exitCode": 1, "finishedAt": f"{ended:%Y-%m-%dT%H:%M:%SZ}"}} if ended else {"waiting": {}}
    container = {"name": "base", "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": state}
    status: dict[str, Any] = {"status": {"phase": phase, "containerStatuses": [container] if ended else []}}
    if evicted:
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "lastTransitionTime": f"{evicted:%Y-%m-%dT%H:%M:%SZ}",
        }
        status["status"]["conditions"] = [condition]
    cluster.kubectl("patch", "pod", name, "--namespace", JOBS, "--subresource", "status", "--type", "merge", "--patch", json.dumps(status))  # fmt: skip


@pytest.fixture
def api(cluster: Cluster) -> client.CoreV1Api:
    """The API, as the CronJob's account; our chart is installed."""
    case = next(case for case in CASES if case.name == "dev")
    cluster.kubectl("create", "namespace", NAMESPACE)
    values = [word for file in case.our_files for word in ("--values", file)]
    cluster.helm("install", "airflow-platform", OUR_CHART, "--namespace", NAMESPACE, *values)
    token = cluster.kubectl("create", "token", "airflow-job-cleanup", "--namespace", NAMESPACE).strip()
    settings = client.Configuration()
    config.load_kube_config(str(cluster.kubeconfig), client_configuration=settings)
    settings.cert_file = settings.key_file = settings.refresh_api_key_hook = None
    settings.api_key = {"authorization": f"Bearer {token}"}
    return client.CoreV1Api(client.ApiClient(settings))


def test_what_ended_a_day_ago_goes_and_nothing_else(
    cluster: Cluster, api: client.CoreV1Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dag_job_pods, "PAGE", 2)
    later = datetime.now(UTC) + 2 * DAY  # as seen from then, everything made now is older than a day
    old, young = later - 2 * DAY, later - DAY / 2
    make(cluster, "old-failed", "Failed", old)
    make(cluster, "old-succeeded", "Succeeded", old)
    make(cluster, "old-evicted", "Failed", None)
    make(cluster, "young", "Failed", young)
    make(cluster, "evicted-lately", "Failed", None, evicted=young)
    make(cluster, "running", "Running", None)
    make(cluster, "pending", "Pending", None)
    make(cluster, "of-somebody-else", "Failed", old, {"app": "x"})
    assert dag_job_pods.clean(api, JOBS, DAY, later) == 3
    assert {pod["metadata"]["name"] for pod in cluster.objects("pods", JOBS)} == {"young", "evicted-lately", "running", "pending", "of-somebody-else"}  # fmt: skip
    assert dag_job_pods.clean(api, JOBS, DAY, later) == 0


def test_in_another_namespace_it_may_not(api: client.CoreV1Api) -> None:
    with pytest.raises(client.ApiException) as refused:
        dag_job_pods.clean(api, NAMESPACE, DAY, NOW)
    assert refused.value.status == 403


def test_the_cronjob_runs_what_is_in_the_configmap(cluster: Cluster, api: client.CoreV1Api) -> None:
    [job] = cluster.objects("cronjobs", NAMESPACE)
    [container] = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "/opt/airflow/dag-sync/dag_job_pods.py"]
    assert container["args"] == ["--namespace", JOBS, "--hours", "24"]
    [code] = [
        one for one in cluster.objects("configmaps", NAMESPACE) if one["metadata"]["name"] == "airflow-platform-code"
    ]
    assert "dag_job_pods.py" in code["data"]


def test_outside_of_a_pod_it_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr("sys.argv", ["dag_job_pods.py", "--namespace", JOBS, "--hours", "24"])
    assert dag_job_pods.main() == 1
    assert capsys.readouterr().err.startswith("dag_job_pods: runs in a pod with a service account's token only")
