"""Stands in for the Pi cluster's DAG of this name: a pod for each row of the application's table, with the row's resources."""

import os
import sqlite3
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG, Asset, task

QUERY = "SELECT job_name, cpu_request, memory_request FROM financial_screener.dag_configuration WHERE dag_name = ?"


def pod(row: dict[str, Any]) -> dict[str, Any]:
    requests = {"cpu": row["cpu_request"], "memory": row["memory_request"]}
    resources = {"requests": requests, "limits": {"memory": row["memory_request"]}}
    return {"name": row["job_name"].replace("_", "-"), "container_resources": resources}


with DAG("historical_load_equities", default_args={"owner": "screener"}, tags=["screener"]) as dag:

    @task
    def read_configuration() -> list[dict[str, Any]]:
        with sqlite3.connect(":memory:") as appdb:
            appdb.row_factory = sqlite3.Row
            appdb.execute("ATTACH ? AS financial_screener", [os.environ["APPDB"]])
            print(QUERY)
            return [dict(row) for row in appdb.execute(QUERY, [dag.dag_id])]

    load = KubernetesPodOperator.partial(
        task_id="load",
        image="loader",
        config_file=os.environ["KUBECONFIG"],
        get_logs=False,  # no container runs on the cluster's nodes
        on_finish_action="keep_pod",
        startup_check_interval_seconds=1,
        poll_interval=1,
    ).expand_kwargs(read_configuration().map(pod))

    @task(outlets=[Asset("equities")])
    def loaded() -> None: ...

    load >> loaded()
