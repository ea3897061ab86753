"""Counts yesterday's orders per region and writes the report with the job's own image."""

from datetime import timedelta
from pathlib import Path

import pendulum
import yaml
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG
from kubernetes.client import models as k8s
from sales.dags.helpers.defaults import DEFAULT_ARGS, NAMESPACE

HERE = Path(__file__).parent
CONFIG = yaml.safe_load((HERE / "config.yaml").read_text())
QUERY = (HERE / "sql" / "orders_by_region.sql").read_text()

with DAG(
    dag_id="sales_daily_report",
    description="Orders by region of the day before",
    schedule="0 5 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULT_ARGS,
    dagrun_timeout=timedelta(hours=2),
    tags=["sales", "report"],
):
    for region in CONFIG["regions"]:
        KubernetesPodOperator(
            task_id=f"report_{region}",
            namespace=NAMESPACE,
            image=CONFIG["image"],
            arguments=["report", "--region", region, "--day", "{{ ds }}"],
            env_vars={"QUERY": QUERY},
            container_resources=k8s.V1ResourceRequirements(
                requests={"cpu": "100m", "memory": "256Mi"},
                limits={"memory": "512Mi"},
            ),
            get_logs=True,
            on_finish_action="delete_pod",
        )
