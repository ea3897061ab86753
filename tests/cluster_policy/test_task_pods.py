"""Task pods of KubernetesExecutor, made by its own scheduler's code up to the call of the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .conftest import Policies

TEMPLATE = str(Path(__file__).with_name("template.yaml"))


def packages(pod: dict[str, Any]) -> list[str]:
    """What the init container is told to sync."""
    env = pod["spec"]["initContainers"][0]["env"]
    return [v["value"] for v in env if v["name"] == "DAG_SYNC_PACKAGES"]


def test_a_task_pod_syncs_its_own_package_alone_and_is_labelled(pod_policies: Policies) -> None:
    pod = pod_policies.ask("executor_pod", dag_id="sales_report", file="sales/dags/report.py", template=TEMPLATE)["pod"]
    assert packages(pod) == ["sales"]
    assert {"name": "DAG_SYNC_BUCKET", "value": "example"} in pod["spec"]["initContainers"][0]["env"]
    assert "env" not in pod["spec"]["initContainers"][1]
    labels = pod["metadata"]["labels"]
    assert (labels["app"], labels["dag_id"], labels["tier"]) == ("sales", "sales_report", "airflow")
    assert pod["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"


def test_the_file_decides_not_the_id(pod_policies: Policies) -> None:
    """A listed id does not name its package."""
    pod = pod_policies.ask("executor_pod", dag_id="data_collection", file="sales/dags/x.py", template=TEMPLATE)["pod"]
    assert packages(pod) == ["sales"] and pod["metadata"]["labels"]["app"] == "sales"


@pytest.mark.parametrize("file", ["loose.py", "Sales/dags/x.py", "", "/opt/airflow/dags/sales/dags/x.py"])
def test_where_the_package_cannot_be_told_all_are_synced(pod_policies: Policies, file: str) -> None:
    pod = pod_policies.ask("executor_pod", dag_id="sales_x", file=file, template=TEMPLATE)["pod"]
    assert packages(pod) == [""]  # the template's
    assert "app" not in pod["metadata"]["labels"]


def test_with_another_command_all_are_synced(pod_policies: Policies) -> None:
    """`executor_config` can replace the arguments."""
    override = {"spec": {"containers": [{"name": "base", "args": ["bash", "--json-string"]}]}}
    pod = pod_policies.ask(
        "executor_pod", dag_id="sales_x", file="sales/dags/x.py", template=TEMPLATE, override=override
    )["pod"]  # fmt: skip
    assert packages(pod) == [""]


def test_a_loose_file_is_the_default_package_s(pod_policies: Policies) -> None:
    pod_policies.say(default_package="financial_screener")
    pod = pod_policies.ask("executor_pod", dag_id="data_collection", file="x.py", template=TEMPLATE)["pod"]
    assert packages(pod) == ["financial_screener"] and pod["metadata"]["labels"]["app"] == "financial_screener"


def test_a_task_pod_keeps_the_chart_s_account_and_security(pod_policies: Policies) -> None:
    pod = pod_policies.ask("executor_pod", dag_id="sales_report", file="sales/dags/report.py", template=TEMPLATE)["pod"]
    assert pod["spec"]["serviceAccountName"] == "airflow-worker-kubernetes"
    assert "securityContext" not in pod["spec"]


def test_a_template_without_dag_sync_is_left_alone(pod_policies: Policies, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("kind: Pod\nspec: {containers: [{name: base}]}\n")
    pod = pod_policies.ask("executor_pod", dag_id="sales_x", file="sales/x.py", template=str(tmp_path / "t.yaml"))[
        "pod"
    ]
    assert "initContainers" not in pod["spec"] and pod["metadata"]["labels"]["app"] == "sales"


def test_in_one_namespace_with_the_jobs_a_task_pod_keeps_its_account(pod_policies: Policies) -> None:
    """The chart's account is no package's, though it could be by its name; Pod Security holds for all in there."""
    pod_policies.say(jobs_namespace="airflow", packages=[])
    pod = pod_policies.ask("executor_pod", dag_id="sales_x", file="sales/dags/x.py", template=TEMPLATE)["pod"]
    assert pod["spec"]["serviceAccountName"] == "airflow-worker-kubernetes"
    assert pod["spec"]["initContainers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
