"""The checklist of the assessment, item by item and in its words; see docs/how-to/verify-a-cluster.md."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import pytest

from tests.checklist import reach, run, scheduler
from tests.checklist.airflow_api import AirflowApi, health
from tests.checklist.kube import Kube, Object
from tests.checklist.options import Settings
from tests.checklist.velero import Velero, absent
from tests.checklist.verdict import Open, Wrong

T = TypeVar("T")
Seen = Callable[[str], None]
FOLLOWS = 60  # seconds within which the next DAG's run must be there
pytestmark = pytest.mark.timeout(0)  # --wait says how long a run may take


def test_scheduler(kube: Kube, settings: Settings, seen: Seen) -> None:
    """Scheduler Running, all containers"""
    pods, events = (kube.objects(kind, settings.namespace) or [] for kind in ("pods", "events"))
    seen(scheduler.check(pods, events, settings.namespace))


def test_visible(airflow: AirflowApi, settings: Settings, seen: Seen) -> None:
    """DAGs visible in UI"""
    found = {dag_id: airflow.listed(dag_id) for dag_id in settings.dags}
    missing = [dag_id for dag_id, dag in found.items() if not dag or dag["is_stale"]]
    if missing:
        errors = [error["filename"] for error in airflow.all("importErrors", "import_errors")]
        broken = f"import errors in {', '.join(errors)}" if errors else "no import error, so the files do not arrive"
        logs = f"kubectl logs deployment/airflow-dag-processor --namespace {settings.namespace} --all-containers"
        raise Wrong(f"not in Airflow, or stale: {', '.join(missing)}; {broken}: {logs}")
    seen(", ".join(f"{dag_id} ({dag['relative_fileloc']})" for dag_id, dag in found.items() if dag))


def test_serialized(airflow: AirflowApi, settings: Settings, seen: Seen) -> None:
    """DAGs serialized in database"""
    found = {dag_id: airflow.get(f"dags/{dag_id}/tasks") for dag_id in settings.dags}
    missing = [dag_id for dag_id, tasks in found.items() if not tasks]
    if missing:
        reserialize = f"kubectl exec deployment/airflow-dag-processor --namespace {settings.namespace} -- airflow dags reserialize"
        raise Wrong(f"no serialized DAG of {', '.join(missing)}: {reserialize}")
    seen(", ".join(f"{dag_id} (tasks: {tasks['total_entries']})" for dag_id, tasks in found.items()))


def test_unpaused(airflow: AirflowApi, settings: Settings, seen: Seen) -> None:
    """Load DAG can be unpaused"""
    dag_id = settings.load_dag
    if _paused(airflow, dag_id):
        if not settings.may_trigger:
            raise Open(
                f"{dag_id} is paused: make verify-cluster ARGS=--may-trigger, or {_by_hand(settings, 'unpause')}"
            )
        airflow.unpause(dag_id)
        if _paused(airflow, dag_id):
            raise Wrong(f"{dag_id} was unpaused, and is paused still: does its owner's code pause it?")
        seen(f"{dag_id} was paused, and is not now")
    else:
        seen(f"{dag_id} is not paused")


def test_triggered(airflow: AirflowApi, settings: Settings, seen: Seen) -> None:
    """Load DAG can be triggered"""
    dag_id = settings.load_dag
    if settings.may_trigger:
        run_id = airflow.trigger(dag_id)
        _until(lambda: _state(airflow, dag_id, run_id) in ("success", "failed"), settings.wait)
    elif not (manual := run.newest(airflow, settings, run_type="manual")):
        raise Open(f"never triggered: make verify-cluster ARGS=--may-trigger, or {_by_hand(settings, 'trigger')}")
    else:
        run_id = manual["dag_run_id"]
    document = airflow.get(f"dags/{dag_id}/dagRuns/{run_id}")
    if document["state"] == "failed":
        raise Wrong(run.Run(airflow, settings, document).failure())
    if document["state"] == "queued" and settings.may_trigger:
        raise Wrong(
            f"run {run_id} is queued since {settings.wait:g} s: is the DAG paused, is the scheduler healthy (item 10)?"
        )
    seen(f"run {run_id} of {dag_id}: {document['state']}")


def test_configuration(airflow: AirflowApi, settings: Settings, seen: Seen) -> None:
    """Configuration loaded from database table"""
    seen(run.ended(airflow, settings).configuration())


def test_resources(airflow: AirflowApi, kube: Kube, settings: Settings, seen: Seen) -> None:
    """Pods created with resources from database config"""
    seen(run.ended(airflow, settings).resources(kube))


def test_indicators(airflow: AirflowApi, settings: Settings, seen: Seen) -> None:
    """Indicators DAG triggered after the load"""
    load = run.ended(airflow, settings)
    follower = _until(load.follower, FOLLOWS if settings.may_trigger else 0)
    if follower:
        seen(follower)
    elif load.document["state"] == "failed":
        raise Open(f"run {load.id} failed, so nothing follows it (item 5)")
    else:
        dag_id = settings.indicators_dag
        paused = f"{dag_id} is paused: {_by_hand(settings, 'unpause', dag_id)}" if _paused(airflow, dag_id) else ""
        way_out = paused or f"is it scheduled by an asset of {settings.load_dag}, or triggered by a task of it?"
        raise Wrong(
            f"no run of {dag_id} was triggered by run {load.id}, which ended {load.document['end_date']}; {way_out}"
        )


def test_velero(kube: Kube, settings: Settings, seen: Seen) -> None:
    """Velero backup includes all components"""
    kinds = [
        kube.objects(kind, settings.velero_namespace, "velero.io/v1")
        for kind in ("schedules", "backups", "podvolumebackups")
    ]
    namespaces = (settings.namespace, settings.jobs_namespace)
    claims = [one for name in namespaces for one in kube.objects("persistentvolumeclaims", name) or []]
    names = sorted(claim["metadata"]["name"] for claim in claims)
    if kinds[0] is None:
        absent(names)
    schedules, backups, pod_volumes = (found or [] for found in kinds)
    seen(Velero(schedules, backups, pod_volumes, names).check(namespaces, datetime.now(UTC)))


def test_ui(kube: Kube, address: reach.Address | None, settings: Settings, seen: Seen) -> None:
    """UI accessible"""
    if not address:
        raise Open(f"no Ingress in {settings.namespace} leads to the API server: give ARGS=--airflow-url=URL")
    try:
        parts = health(address.url)
    except Wrong as wrong:
        raise Wrong(f"{wrong}; {reach.inside(kube, settings)}") from None
    ill = [f"{name} {state}" for name, state in parts.items() if state != "healthy"]
    if ill:
        raise Wrong(
            f"{address.url} answers 200, with {', '.join(ill)}: kubectl get pods --namespace {settings.namespace}"
        )
    seen(f"{address.url} ({address.by}) answers 200; healthy: {', '.join(parts)}")


def _paused(airflow: AirflowApi, dag_id: str) -> bool:
    dag: Object | None = airflow.get(f"dags/{dag_id}")
    if dag is None:
        raise Wrong(f"{dag_id} is not in Airflow (items 2 and 3)")
    return bool(dag["is_paused"])


def _state(airflow: AirflowApi, dag_id: str, run_id: str) -> str:
    return str(airflow.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"])


def _by_hand(settings: Settings, what: str, dag_id: str = "") -> str:
    airflow = (
        f"kubectl exec deployment/airflow-scheduler --namespace {settings.namespace} --container scheduler -- airflow"
    )
    return f"{airflow} dags {what} {dag_id or settings.load_dag}"


def _until(condition: Callable[[], T], seconds: float) -> T:
    """What the condition gave last: true, unless the time is over."""
    deadline = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(1)
    return value
