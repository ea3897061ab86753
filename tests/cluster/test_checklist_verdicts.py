"""The checklist's verdicts on what Kubernetes shows, one by one: the scheduler's pods, and Velero's backups."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from scripts.manage.layers.environments import NAMESPACE
from tests.checklist import scheduler
from tests.checklist.velero import Velero, absent
from tests.checklist.verdict import Open, Wrong

NOW = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)


def pod(name: str = "airflow-scheduler-0", uid: str = "1", **status: Any) -> dict[str, Any]:
    """Of the scheduler, with a native sidecar and an init container that is over."""
    ready = {"ready": True, "state": {"running": {}}}
    return {
        "metadata": {"name": name, "uid": uid, "labels": {"component": "scheduler"}},
        "spec": {
            "nodeName": "pi-worker-06",
            "initContainers": [{"name": "wait"}, {"name": "git-sync", "restartPolicy": "Always"}],
            "containers": [{"name": "scheduler"}],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "initContainerStatuses": [{"name": "wait", "ready": False}, {"name": "git-sync", **ready}],
            "containerStatuses": [{"name": "scheduler", **ready}],
        }
        | status,
    }


def event(
    uid: str = "1", reason: str = "FailedAttachVolume", message: str = "Multi-Attach error for volume"
) -> dict[str, Any]:
    involved = {"name": "airflow-scheduler-0", "uid": uid}
    return {
        "type": "Warning",
        "reason": reason,
        "message": message,
        "involvedObject": involved,
        "lastTimestamp": "2026",
    }


PENDING: dict[str, Any] = {"phase": "Pending", "conditions": [], "initContainerStatuses": [], "containerStatuses": []}


def test_a_scheduler_with_all_its_containers_is_ok_and_those_that_ended_do_not_count() -> None:
    seen = scheduler.check([pod(), pod("evicted", "2", phase="Failed")], [], NAMESPACE)
    assert seen == "airflow-scheduler-0 on pi-worker-06 Running, 2/2 containers ready; no Multi-Attach event"


def test_the_event_of_a_pod_that_runs_now_is_told_as_over() -> None:
    assert "a Multi-Attach event of airflow-scheduler-0, which is over" in scheduler.check(
        [pod()], [event()], NAMESPACE
    )


@pytest.mark.parametrize(
    ("pods", "events", "says"),
    [
        ([], [], "no pod with the label component=scheduler in airflow: docs/how-to/deploy.md"),
        ([pod(**PENDING)], [event()], r"on pi-worker-06 cannot start: Multi-Attach error .*from-the-incident\.md"),
        (
            [pod(**PENDING)],
            [event("old")],
            r"Pending, 0/2 containers ready \(git-sync: not ready; scheduler: not ready\); kubectl describe",
        ),
        ([pod(**PENDING)], [event(reason="FailedMount", message="no such secret")], "FailedMount: no such secret"),
        (
            [pod(initContainerStatuses=[{"name": "git-sync", "ready": False, "state": {"waiting": {"reason": "ErrImagePull"}}}])],
            [],
            r"1/2 containers ready \(git-sync: ErrImagePull\)",
        ),
        ([pod(conditions=[{"type": "Ready", "status": "False"}])], [], "2/2 containers ready, but the pod is not"),
    ],
    ids=["none", "multi-attach", "another pod's event", "warning", "sidecar", "dead node"],
)  # fmt: skip
def test_a_scheduler_that_does_not_run_is_wrong(pods: list[Any], events: list[Any], says: str) -> None:
    with pytest.raises(Wrong, match=says):
        scheduler.check(pods, events, NAMESPACE)


# --- Velero -----------------------------------------------------------------------------------------------------


def schedule(expression: str = "0 2 * * *", paused: bool = False, **template: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "daily", "namespace": "velero"},
        "spec": {"schedule": expression, "paused": paused, "template": template},
    }


def backup(day: int = 21, **status: Any) -> dict[str, Any]:
    good = {
        "phase": "Completed",
        "startTimestamp": f"2026-11-{day}T02:00:05Z",
        "volumeSnapshotsAttempted": 1,
        "volumeSnapshotsCompleted": 1,
    }
    return {
        "metadata": {"name": f"daily-{day}", "labels": {"velero.io/schedule-name": "daily"}},
        "status": good | status,
    }


def pod_volume(phase: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"velero.io/backup-name": "daily-21"}}, "status": {"phase": phase}}


NO_SNAPSHOT = {"volumeSnapshotsAttempted": 0, "volumeSnapshotsCompleted": 0}


@pytest.mark.parametrize(
    ("schedules", "backups", "volumes"),
    [
        ([schedule(excludedResources=["events"])], [backup()], []),
        ([schedule(includedNamespaces=["airflow", "etl-*"])], [backup(20), backup()], []),
        ([schedule(snapshotVolumes=False, defaultVolumesToFsBackup=True)], [backup(**NO_SNAPSHOT)], [pod_volume("Completed")]),
        ([schedule(), schedule(labelSelector={"a": "b"})], [backup(), backup(22, phase="InProgress")], []),
        ([schedule("@every 14h30m")], [backup()], []),
    ],
    ids=["all", "two", "files", "running", "due since less than an hour"],
)  # fmt: skip
def test_a_backup_of_both_namespaces_is_ok(schedules: list[Any], backups: list[Any], volumes: list[Any]) -> None:
    seen = Velero(schedules, backups, volumes, ["data"]).check(["airflow", "etl-jobs"], NOW)
    assert "daily-21 Completed 2026-11-21 02:00 UTC, unknown items, 1/1 volumes" in seen


@pytest.mark.parametrize(
    ("schedules", "backups", "volumes", "says"),
    [
        ([], [], [], "no Schedule of Velero includes all of namespace airflow: docs"),
        ([schedule(paused=True)], [backup()], [], r"namespace airflow \(daily: paused\)"),
        ([schedule(excludedNamespaces=["etl-jobs"])], [backup()], [], "namespace etl-jobs"),
        ([schedule(labelSelector={"matchLabels": {"a": "b"}})], [backup()], [], "all of namespace airflow"),
        ([schedule(excludedResources=["secrets"])], [backup()], [], "all of namespace airflow"),
        ([schedule(snapshotVolumes=False)], [backup()], [], "all of namespace airflow"),
        ([schedule()], [], [], "has made no backup yet: velero backup create --from-schedule daily"),
        ([schedule()], [backup(20), backup(21, phase="Failed")], [], "daily-21 is Failed: velero backup describe"),
        ([schedule()], [backup(20)], [], r"is of 2026-11-20 02:00 UTC, and one was due at 2026-11-21 02:00"),
        ([schedule("@every 12h")], [backup()], [], "one was due at"),
        ([schedule()], [backup(**NO_SNAPSHOT)], [], r"has the contents of 0 of 1 volumes \(data\): docs"),
        ([schedule()], [backup()], [pod_volume("Failed")], "has the contents of 1 of 2 volumes"),
    ],
    ids=["none", "paused", "excluded", "selector", "no secrets", "no volumes", "no backup", "failed", "late", "every", "empty", "file"],
)  # fmt: skip
def test_a_backup_that_would_not_help_is_wrong(
    schedules: list[Any], backups: list[Any], volumes: list[Any], says: str
) -> None:
    with pytest.raises(Wrong, match=says):
        Velero(schedules, backups, volumes, ["data"]).check(["airflow", "etl-jobs"], NOW)


def test_without_velero_data_in_the_cluster_is_wrong_and_none_is_open() -> None:
    with pytest.raises(Wrong, match="it has data"):
        absent(["data"])
    with pytest.raises(Open, match="where that is"):
        absent([])
    with pytest.raises(Open, match="cannot be read here"):
        Velero([schedule("tomorrow")], [backup()], [], ["data"]).check(["airflow"], NOW)
