"""The policies in a whole dag-processor, and with Airflow's own bundle for S3."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from scripts.local.airflow import Airflow
from scripts.local.s3_servers import S3Server

from .conftest import NO_EXAMPLES, PROVIDER, dag, install, start, write
from .mail_server import MailServer
from .test_on_failure import MAIL_TEXT
from .test_whose_dag import POD

pytestmark = pytest.mark.airflow


FAILED_RUN = """
from airflow.callbacks.callback_requests import DagCallbackRequest
from airflow.callbacks.database_callback_sink import DatabaseCallbackSink
DatabaseCallbackSink().send(DagCallbackRequest(
    filepath="sales/dags/good.py", bundle_name="dags-folder", bundle_version=None, dag_id="sales_good", run_id="by-hand"
))
"""


def test_a_dag_processor_shows_what_is_accepted_and_why_the_rest_is_not_and_mails_a_failure(
    tmp_path: Path, mail_server: MailServer
) -> None:
    install(tmp_path / "home", on_failure=[MAIL_TEXT])
    airflow = Airflow(tmp_path / "home", tmp_path / "dags", settings=NO_EXAMPLES | mail_server.environment)
    write(airflow.dags, {"sales/dags/good.py": dag("sales_good", POD), "sales/dags/bad.py": dag("bad")})
    airflow.migrate()
    with airflow.running("dag-processor"):
        airflow.wait(lambda dags: bool(dags and airflow.import_errors()), "both DAGs")
        # As the scheduler does for a DAG that is serialized with `has_on_failure_callback`.
        subprocess.run([sys.executable, "-c", FAILED_RUN], env=airflow.environment, check=True, capture_output=True)
        assert mail_server.arrived.wait(180)
    (mail,) = mail_server.read()
    assert mail["Subject"] == "DAG sales_good failed in run by-hand"
    dags = airflow.dags_shown()
    assert list(dags) == ["sales_good"]
    assert all(
        text in dags["sales_good"].serialized
        for text in ('"app": "sales"', '"namespace": "etl-jobs"', '"has_on_failure_callback": true')
    )
    assert airflow.import_errors() == {
        "sales/dags/bad.py": "AirflowClusterPolicyViolation: DAG id 'bad' in sales/dags/bad.py does not begin with 'sales_', "
        "so it could be another package's; name it 'sales_bad'"
    }


def test_with_airflow_s_own_bundle_for_s3_the_package_is_the_first_folder_below_its_prefix(
    moto: S3Server, tmp_path: Path
) -> None:
    """The bundle has its files in a folder of its own below /tmp or `dag_bundle_storage_path`."""
    bucket = moto.bucket(f"t-{uuid.uuid4().hex[:20]}").bucket
    for name, dag_id in (("good", "sales_good"), ("bad", "bad")):
        key, body = f"dev/sales/dags/{name}.py", dag(dag_id, POD).encode()
        moto.client().put_object(Bucket=bucket, Key=key, Body=body)
    bundle = {
        "name": "s3",
        "classpath": "airflow.providers.amazon.aws.bundles.s3.S3DagBundle",
        "kwargs": {"bucket_name": bucket, "prefix": "dev/"},
    }
    settings = moto.environment | {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps([bundle]),
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(tmp_path / "bundles"),
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
    }
    with start(tmp_path / "home", *PROVIDER, settings=settings) as policies:
        good = policies.ask("run", bundle="s3", file="sales/dags/good.py", dag_id="sales_good", task_id="job")
        bad = policies.ask("run", bundle="s3", file="sales/dags/bad.py", dag_id="bad", task_id="job")
    assert good["labels"] == {"app": "sales", "dag_id": "sales_good"} and bad == {"exit": 1}
