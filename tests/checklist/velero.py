"""Whether Velero backs Airflow up: a schedule for each namespace, its newest backup, and what is in that of the volumes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from typing import Any

from croniter import croniter

from tests.checklist.kube import Object
from tests.checklist.verdict import Open, Wrong

HOW_TO = "docs/how-to/verify-a-cluster.md#velero"
LATE = timedelta(hours=1)  # a backup that is due since less may still be running
ENDED = ("Completed", "PartiallyFailed", "Failed", "FailedValidation")
NEEDED = {"*", "persistentvolumeclaims", "persistentvolumes", "pods", "secrets"}  # else no database comes back
SCHEDULE, BACKUP = "velero.io/schedule-name", "velero.io/backup-name"  # labels


@dataclass(frozen=True)
class Velero:
    """What the cluster has of it.

    Args:
        pod_volumes: its PodVolumeBackups: volumes that are read as files.
        claims: names of the claims that have to be in a backup.
    """

    schedules: Sequence[Object]
    backups: Sequence[Object]
    pod_volumes: Sequence[Object]
    claims: Sequence[str]

    def check(self, namespaces: Sequence[str], now: datetime) -> str:
        """What was seen. Raises Wrong, Open."""
        used: dict[str, Object] = {}
        for namespace in namespaces:
            covering = [one for one in self.schedules if not one["spec"].get("paused") and _whole(one, namespace)]
            if not covering:
                paused = [_name(one) for one in self.schedules if one["spec"].get("paused")]
                but = f" ({', '.join(paused)}: paused)" if paused else ""
                raise Wrong(f"no Schedule of Velero includes all of namespace {namespace}{but}: {HOW_TO}")
            used |= {_name(one): one for one in covering}
        return f"{'; '.join(self._newest(one, now) for one in used.values())}; with {' and '.join(namespaces)}"

    def _newest(self, schedule: Object, now: datetime) -> str:
        name, expression = _name(schedule), schedule["spec"]["schedule"]
        made = [one for one in self.backups if (one["metadata"].get("labels") or {}).get(SCHEDULE) == name]
        ended = [one for one in made if one.get("status", {}).get("phase") in ENDED]
        if not ended:
            raise Wrong(f"Schedule {name} has made no backup yet: velero backup create --from-schedule {name}")
        backup = max(ended, key=_started)
        if (phase := backup["status"]["phase"]) != "Completed":
            raise Wrong(f"backup {_name(backup)} is {phase}: velero backup describe {_name(backup)} --details")
        if _started(backup) < (due := _due(expression, now)):
            raise Wrong(
                f"the newest backup of Schedule {name}, {_name(backup)}, is of {_started(backup):%F %R} UTC, and one was "
                f"due at {due:%F %R} ({expression}): kubectl logs deployment/velero --namespace {_namespace(schedule)}"
            )
        items = backup["status"].get("progress", {}).get("itemsBackedUp", "unknown")
        text = f"Schedule {name} ({expression}): {_name(backup)} Completed {_started(backup):%F %R} UTC, {items} items"
        return f"{text}, {self._volumes(backup)}"

    def _volumes(self, backup: Object) -> str:
        if not self.claims:
            return "no volume to back up"
        status, name = backup["status"], _name(backup)
        files = [one for one in self.pod_volumes if (one["metadata"].get("labels") or {}).get(BACKUP) == name]
        tried, done = (
            status.get(f"volumeSnapshots{end}", 0) + status.get(f"csiVolumeSnapshots{end}", 0)
            for end in ("Attempted", "Completed")
        )
        tried += len(files)
        done += sum(one.get("status", {}).get("phase") == "Completed" for one in files)
        if done < max(tried, 1):
            raise Wrong(
                f"backup {name} is Completed and has the contents of {done} of {tried or len(self.claims)} volumes "
                f"({', '.join(self.claims)}): {HOW_TO}"
            )
        return f"{done}/{tried} volumes"


def absent(claims: Sequence[str]) -> None:
    """What it means that the cluster does not know Velero. Raises Wrong where the cluster has data, else Open."""
    if claims:
        raise Wrong(
            f"no Velero in this cluster (no Schedule of velero.io/v1), and it has {', '.join(claims)}: {HOW_TO}"
        )
    raise Open("no Velero and no volume in this cluster: the backup of the database is to be checked where that is")


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _namespace(item: Object) -> str:
    return str(item["metadata"]["namespace"])


def _whole(schedule: Object, namespace: str) -> bool:
    """Whether the namespace is in it with all its objects and volumes."""
    template: dict[str, Any] = schedule["spec"].get("template") or {}
    included = template.get("includedNamespaces") or ["*"]
    parts = ("includedResources", "labelSelector", "orLabelSelectors")
    in_part = any(template.get(part) not in (None, [], ["*"], {}) for part in parts)
    in_part |= bool(NEEDED & set(template.get("excludedResources") or []))
    volumes = template.get("snapshotVolumes") is not False or bool(template.get("defaultVolumesToFsBackup"))
    return (
        any(fnmatch(namespace, pattern) for pattern in included)
        and namespace not in (template.get("excludedNamespaces") or [])
        and volumes
        and not in_part
    )


def _started(backup: Object) -> datetime:
    return datetime.fromisoformat(backup["status"].get("startTimestamp") or backup["metadata"]["creationTimestamp"])


def _due(expression: str, now: datetime) -> datetime:
    """When the newest backup that must have ended had to start. Raises Open."""
    if every := re.fullmatch(r"@every (?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", expression):
        hours, minutes, seconds = (int(number or 0) for number in every.groups())
        return now - LATE - timedelta(hours=hours, minutes=minutes, seconds=seconds)
    try:
        due: datetime = croniter(expression, now - LATE).get_prev(datetime)
    except ValueError:
        raise Open(f"the schedule {expression!r} cannot be read here; velero schedule get says when it ran") from None
    return due.astimezone(UTC)
