"""Task logs of the Pis in an S3-compatible bucket: as rendered, on a whole Airflow and a real store that is not AWS."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scripts.local.airflow import install_policies
from scripts.local.s3_servers import KEYS, S3Server
from scripts.local.waiting import PATIENCE, wait_for
from scripts.local.whole_airflow import WholeAirflow
from tests.helpers.charts import CASES
from tests.helpers.inventory import inventory

pytestmark = pytest.mark.airflow

DAG = """
from airflow.sdk import DAG, task
with DAG("sales_report", tags=["t"], default_args={"owner": "t"}):
    @task
    def say():
        print("said by the task")
    say()
"""


def test_a_log_is_in_the_bucket_and_is_read_from_there(gateway: S3Server, tmp_path: Path) -> None:
    """The case has `remoteLogs.bucket: airflow-logs`; endpoint and keys are those of every pod (docs/how-to/networks.md)."""
    rendered = inventory(next(case for case in CASES if case.name == "options-local"))
    options = ("remote_logging", "remote_base_log_folder", "remote_log_conn_id")
    settings = {f"AIRFLOW__LOGGING__{name.upper()}": str(rendered.option("logging", name)) for name in options}
    of_every_pod = {**KEYS, "AWS_ENDPOINT_URL_S3": gateway.endpoint, "AIRFLOW_CONN_S3_LOGS": "aws://"}
    client = gateway.client()
    client.create_bucket(Bucket="airflow-logs")
    dags = tmp_path / "dags"
    (dags / "sales").mkdir(parents=True)
    (dags / "sales" / "report.py").write_text(DAG)
    whole = WholeAirflow(tmp_path / "home", dags, settings=settings | of_every_pod)
    install_policies(whole.airflow.home / "config")
    whole.airflow.migrate()
    with whole.running():
        whole.airflow.wait(lambda shown: "sales_report" in shown, "the DAG", PATIENCE)
        whole.trigger("sales_report", "by-hand")
        assert whole.end("sales_report", "by-hand") == "success"

        def keys() -> list[str]:
            return [one["Key"] for one in client.list_objects_v2(Bucket="airflow-logs").get("Contents", [])]

        wait_for(keys, what="the log, which is sent after the task's end was told", every=0.1)
        assert keys() == ["airflow-logs/dag_id=sales_report/run_id=by-hand/task_id=say/attempt=1.log"]
        shutil.rmtree(whole.airflow.home / "logs" / "dag_id=sales_report", ignore_errors=True)
        assert "said by the task" in whole.log("sales_report", "by-hand", "say")
