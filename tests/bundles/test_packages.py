"""Packages come, go, return and move on a real Airflow whose packages are bundles."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import dag_protocol as protocol
from airflow_dag_publisher import publishing, restore
from airflow_dag_publisher.airflow_runs import unfinished_runs
from scripts.local.packages import session
from scripts.local.s3_servers import S3Server
from scripts.local.waiting import PATIENCE, wait_for
from tests.bundles.world import World, bundle_list, database

pytestmark = pytest.mark.airflow

DAG = """
import time
from pathlib import Path
from airflow.sdk import DAG, task
with DAG("{package}_report", description="{text}", tags=["t"], schedule=None, default_args=dict(owner="t")):
    @task
    def look():
        print("said by {text}")
        while Path("{wait}").exists():
            time.sleep(0.1)
    @task
    def then():
        print("said by {text}")
    look() >> then()
"""


def package(name: str, text: str, wait: str = "/nowhere") -> dict[str, bytes]:
    """A package with one DAG; its first task waits for as long as a file is there."""
    return {"report.py": DAG.format(package=name, text=text, wait=wait).encode()}


@pytest.fixture
def world(airflow_program: Path, moto: S3Server, tmp_path: Path) -> Iterator[World]:
    with database() as url:
        yield World(tmp_path, moto, ["sales"], url, program=airflow_program)


def test_packages_come_go_and_return_and_a_version_that_is_gone_fails_its_task_in_words(world: World) -> None:
    first = world.publish("sales", package("sales", "one"))
    with world.running("--stale-timeout", "1s"):
        world.shows("sales_report", "one")
        assert world.version_of("sales_report") == first

        world.publish("newcomer", package("newcomer", "new"))  # in no list: served, and unversioned
        world.shows("newcomer_report", "new")
        assert world.version_of("newcomer_report") is None

        publishing.remove(session(world.bucket, "sales"))
        world.airflow.wait(lambda dags: dags["sales_report"].stale, "the removed DAG is stale", PATIENCE)
        restore.restore(session(world.bucket, "sales"))
        world.shows("sales_report", "one")

        pinned = world.version_of("sales_report")
        world.whole.api("PATCH", "/dags/sales_report", json={"is_paused": True})
        world.whole.trigger("sales_report", "late")
        assert world.whole.run("sales_report", "late")["bundle_version"] == pinned
        world.publish("sales", package("sales", "two"))
        world.shows("sales_report", "two")
        [[run]] = unfinished_runs(world.whole.url, world.whole.token(), "sales").values()
        assert (run.dag_id, run.run_id) == ("sales_report", "late")
        wait_for(lambda: not list(world.store.glob(f".store/packages/sales/{pinned}*")), what="the old one is pruned")
        gone = json.loads(world.bucket.get(protocol.manifest_key("dev", "sales", pinned), 1 << 20)[0])["files"][0]
        world.bucket.client.delete_object(
            Bucket=world.bucket.bucket,
            Key=protocol.files_prefix("dev", "sales") + gone["path"],
            VersionId=gone["version_id"],
        )
        world.whole.api("PATCH", "/dags/sales_report", json={"is_paused": False})
        assert world.whole.end("sales_report", "late") == "failed"
        log = world.whole.log("sales_report", "late", "look")
        assert f"version {pinned} of package 'sales'" in log and "are gone from the bucket" in log


def test_an_installation_moves_to_bundles_and_back_with_runs_in_flight(world: World, tmp_path: Path) -> None:
    """As a deploy does it: what runs is let go on, all components begin anew with the other list."""
    wait = tmp_path / "wait"
    wait.touch()
    folder = {"name": "dags-folder", "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {}}
    setting = "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"
    environment = world.airflow.environment
    environment[setting] = json.dumps([folder])
    world.airflow.migrate()
    world.publish("sales", package("sales", "one", str(wait)))

    def in_flight(run: str) -> None:
        world.whole.trigger("sales_report", run)
        wait_for(
            lambda: "running" in [t["state"] for t in world.whole.tasks("sales_report", run)], what="it runs", every=0.1
        )

    with world.syncing(), world.whole.running("api-server"):
        with world.whole.running("scheduler", "dag-processor"):
            world.shows("sales_report", "one")
            in_flight("before")
            assert world.whole.run("sales_report", "before")["bundle_version"] is None
            environment[setting] = bundle_list(["sales"])
            with world.whole.running("scheduler", "dag-processor"):  # the new ones, beside the old
                wait_for(lambda: world.version_of("sales_report"), what="the DAG is the bundle's", every=0.1)
                wait.unlink()
                assert world.whole.end("sales_report", "before") == "success"
        with world.whole.running("scheduler", "dag-processor"):
            wait.touch()
            in_flight("pinned")
            pinned = world.whole.run("sales_report", "pinned")["bundle_version"]
            assert pinned == world.version_of("sales_report")
            world.publish("sales", package("sales", "two"))
            world.shows("sales_report", "two")
            wait.unlink()
            assert world.whole.end("sales_report", "pinned") == "success"
            assert "said by one" in world.whole.log("sales_report", "pinned", "then")
        environment[setting] = json.dumps([folder])  # the way back
        with world.whole.running("scheduler", "dag-processor"):
            wait_for(lambda: world.version_of("sales_report") is None, what="the DAG is the folder's", every=0.1)
            world.whole.trigger("sales_report", "after")
            assert world.whole.end("sales_report", "after") == "success"
            runs = world.whole.api("GET", "/dags/sales_report/dagRuns")["dag_runs"]
            assert {run["dag_run_id"] for run in runs} == {"before", "pinned", "after"}
    shutil.rmtree(world.storage, ignore_errors=True)
