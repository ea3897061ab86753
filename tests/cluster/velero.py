"""Stands in for Velero: its kinds, as far as the checklist reads them, and the objects that a schedule leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import yaml

from scripts.local.cluster.cluster import JOBS, Cluster
from scripts.manage.layers.environments import NAMESPACE

KINDS = ("Schedule", "Backup", "PodVolumeBackup")


def install(cluster: Cluster) -> None:
    """The kinds and Velero's namespace."""
    cluster.kubectl("create", "namespace", "velero")
    cluster.kubectl("apply", "--filename=-", stdin=yaml.safe_dump_all(_definition(kind) for kind in KINDS))
    names = ",".join(f"{kind.lower()}s.velero.io" for kind in KINDS)
    cluster.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all", "--timeout=60s")
    cluster.wait(f"{names} to be served", lambda: cluster.run("kubectl", "get", names, check=False).returncode == 0)


def _definition(kind: str) -> dict[str, Any]:
    name = f"{kind.lower()}s"
    anything = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{name}.velero.io"},
        "spec": {
            "group": "velero.io",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": name, "singular": kind.lower()},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": anything}],
        },
    }


def backed_up(cluster: Cluster, phase: str = "Completed", hours: float = 3, **template: Any) -> None:
    """A daily schedule and its last backup, that many hours old."""
    started = datetime.now(UTC) - timedelta(hours=hours)
    template = {"includedNamespaces": [NAMESPACE, JOBS]} | template
    objects = [
        {"kind": "Schedule", "metadata": {"name": "daily"}, "spec": {"schedule": "@every 24h", "template": template}},
        {
            "kind": "Backup",
            "metadata": {"name": "daily-1", "labels": {"velero.io/schedule-name": "daily"}},
            "status": {"phase": phase, "startTimestamp": f"{started:%FT%TZ}", "progress": {"itemsBackedUp": 166},
                       "csiVolumeSnapshotsAttempted": 1, "csiVolumeSnapshotsCompleted": 1},
        },
    ]  # fmt: skip
    text = yaml.safe_dump_all({"apiVersion": "velero.io/v1", **each} for each in objects)
    cluster.kubectl("apply", "--namespace=velero", "--filename=-", stdin=text)
