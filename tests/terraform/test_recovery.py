"""The bucket is deleted behind Terraform's back: apply and a republish bring it back, and Airflow never loses a DAG."""

import json
import os
import subprocess

import pytest

from scripts.local.fake_aws import FakeAWS
from scripts.local.manage_sh import Manage
from scripts.local.ports import free_port
from tests.helpers.dag_sync import Process, get
from tests.helpers.needs import needs_terraform

pytestmark = needs_terraform

BUCKET = "airflow-dags-demo-123456789012"
DAG = "from airflow.sdk import DAG\n\nwith DAG('{package}_daily', tags=['x'], default_args={{'owner': 'a'}}):\n    pass  # {text}\n"


class Team:
    """A package's CI: its folder of DAGs and its role."""

    def __init__(self, aws, outputs, package, folder):
        self.package, self.folder = package, folder / package
        self.folder.mkdir()
        self._aws, self._role = aws, outputs["roles"]["publishers"][package]

    def publish(self, text):
        dag = DAG.format(package=self.package, text=text)
        (self.folder / "daily.py").write_text(dag)
        words = ["publish", "--package-name", self.package, "--dags-dir", str(self.folder), "--no-parse"]
        env = {
            **os.environ,
            **self._aws.assume(self._role),
            "AIRFLOW_PLATFORM_BUCKET": BUCKET,
            "AIRFLOW_PLATFORM_ENV": "demo",
        }
        subprocess.run(["airflow-dag-publisher", *words], env=env, check=True, capture_output=True, text=True)
        return {"daily.py": dag.encode()}


def delete_with_everything(s3, bucket):
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for entry in page.get("Versions", []) + page.get("DeleteMarkers", []):
            s3.delete_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])
    s3.delete_bucket(Bucket=bucket)


def metric(port, name):
    [line] = [line for line in get(port, "/metrics")[1].splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


@pytest.fixture
def aws(tmp_path):
    """One of its own: the bucket has one name, and goes."""
    with FakeAWS(tmp_path / "server.log") as aws:
        yield aws


@pytest.fixture
def manage(aws, tmp_path):
    return Manage({**aws.admin, "AIRFLOW_PLATFORM_STATE_DIR": str(tmp_path / "state")})


@pytest.fixture
def sync(aws, tmp_path):
    """dag-sync as the dag-processor's role, for as long as the test goes on."""
    started = []

    def start(outputs, port):
        role = aws.assume(outputs["roles"]["dag_processor"])
        started.append(
            Process(
                tmp_path, aws.endpoint, BUCKET, "--http-bind", f"127.0.0.1:{port}",
                **role, DAG_SYNC_ENVIRONMENT="demo", DAG_SYNC_INTERVAL="0.2",
            )
        )  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        process.stop()


@pytest.mark.exhaustive("terraform")
def test_a_deleted_bucket_comes_back_and_no_dag_was_lost_meanwhile(aws, manage, sync, tmp_path):
    port = free_port()
    manage.ok("apply", "demo", "--yes")
    outputs = json.loads(manage.ok("output", "demo"))
    teams = [Team(aws, outputs, package, tmp_path) for package in ("finance", "sales")]
    last_good = {team.package: team.publish("before") for team in teams}
    dag_sync = sync(outputs, port)
    for package, files in last_good.items():
        dag_sync.wait_until_served(files, package)

    def serves_the_last_good():
        assert {package: dag_sync.serves(package) for package in last_good} == last_good
        return True

    def errors_grew():
        return serves_the_last_good() and metric(port, "dag_sync_consecutive_errors") >= 3

    def polls_again():
        return serves_the_last_good() and metric(port, "dag_sync_consecutive_errors") == 0

    delete_with_everything(aws.client("s3", aws.admin), BUCKET)
    dag_sync.wait(errors_grew, "dag-sync notices, and serves on")

    manage.ok("apply", "demo", "--yes")
    assert "No changes." in manage.ok("plan", "demo")
    dag_sync.wait(polls_again, "the new, empty bucket is polled, and takes nothing away")

    for team in teams:
        files = team.publish("after")
        dag_sync.wait_until_served(files, team.package)
    assert metric(port, "dag_sync_consecutive_errors") == 0
