"""The programs, each with its own role as Terraform applied it: publish, adopt, sync, operate."""

import os
import subprocess
import sys

import pytest

from dag_store import S3Store
from scripts.local.packages import publish
from scripts.local.web_identity import available
from scripts.pinned import ROOT
from tests.helpers.needs import needs_terraform
from tests.terraform.rig import DEV, assume, rig_of

UNAVAILABLE = available()
pytestmark = [*needs_terraform, pytest.mark.skipif(UNAVAILABLE is not None, reason=str(UNAVAILABLE))]

FILES = ROOT / "charts/airflow-platform/files"
DAG = b"from airflow.sdk import DAG\n\nwith DAG('team_a_daily', tags=['team_a'], default_args={'owner': 'a'}):\n    pass\n"


@pytest.fixture
def rig(aws, built, tmp_path):
    with rig_of(aws, built, tmp_path / "rig") as rig:
        yield rig


def run(rig, who, *command, **variables):
    """Run a program as one of the roles."""
    place = {
        "AIRFLOW_PLATFORM_BUCKET": DEV,
        "AIRFLOW_PLATFORM_ENV": "dev",
        "DAG_SYNC_BUCKET": DEV,
        "DAG_SYNC_ENVIRONMENT": "dev",
    }
    env = {**os.environ, **assume(rig, who).environment, **place, **variables}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def publisher(rig, who, *words):
    return run(rig, who, "airflow-dag-publisher", *words, "--package-name", "team_a")


def sync(rig, who, root):
    run(rig, who, sys.executable, str(FILES / "dag_sync.py"), "--one-time", "--root", str(root))
    file = root / "team_a" / "dags" / "daily.py"
    return file.read_bytes() if file.exists() else None


@pytest.mark.exhaustive("terraform")
def test_publish_sync_edit_by_hand_adopt_roll_back_and_remove(rig, tmp_path):
    """The whole life of a package, nobody with more than their own rights."""
    dags, root = tmp_path / "dags", tmp_path / "root"
    dags.mkdir()
    (dags / "daily.py").write_bytes(DAG)
    publisher(rig, "publisher", "publish", "--dags-dir", str(dags), "--no-parse")
    for who in ("dag_processor", "scheduler", "worker"):
        assert sync(rig, who, tmp_path / who) == DAG

    by_hand = DAG + b"# by hand\n"
    assume(rig, "operator").s3.put_object(Bucket=DEV, Key="dev/team_a/dags/daily.py", Body=by_hand)
    run(
        rig,
        "dag_adopter",
        sys.executable,
        str(FILES / "dag_adopter.py"),
        "--one-time",
        "--bucket",
        DEV,
        "--environment",
        "dev",
    )
    assert sync(rig, "dag_processor", root) == by_hand

    publisher(rig, "operator", "rollback")
    assert sync(rig, "dag_processor", root) == DAG
    publisher(rig, "publisher", "remove", "--yes")
    assert sync(rig, "dag_processor", root) is None
    publisher(rig, "operator", "restore")
    assert sync(rig, "dag_processor", root) == DAG


@pytest.fixture
def as_on_aws(rig):
    """The package's own store. S3 answers 403 for a key that is not there to who may not list the whole bucket; the server
    here says 404."""
    client = assume(rig, "publisher").s3

    def forbid(response_dict, **_):
        if response_dict["status_code"] == 404:
            response_dict["status_code"] = 403
            response_dict["body"] = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"

    for operation in ("GetObject", "HeadObject"):
        client.meta.events.register(f"before-parse.s3.{operation}", forbid)
    return S3Store(DEV, client=client)


def test_a_first_publish_works_where_a_missing_key_reads_403(as_on_aws):
    """On AWS it does: ListBucket with a condition on the prefix is no right to learn that a key is not there."""
    with pytest.raises(Exception, match="AccessDenied"):
        as_on_aws.client.head_object(Bucket=DEV, Key="pointers/dev/team_a.json")
    first = publish(as_on_aws, {"daily.py": DAG}, "team_a")
    second = publish(as_on_aws, {"daily.py": DAG + b"\n", "more.py": DAG}, "team_a")
    assert first != second
