"""How long the cluster's side of many packages takes: their service accounts, and the policies that are for all of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from scripts.bench import rig
from scripts.local.cluster.cluster import DATABASE, JOBS, Cluster
from scripts.local.cluster.running import our_own
from scripts.local.outputs import outputs
from scripts.manage.layers.environments import NAMESPACE
from scripts.pinned import versions

LIMIT = 60  # seconds


def run(quick: bool = False) -> dict[str, Any]:
    """Deploy dev with each number of packages, and again with one more."""
    rows = [_row(packages) for packages in ((2,) if quick else (10, 200))]
    programs = {"Kubernetes": versions()["kubernetes"], "Helm": versions()["helm"]}
    return {"rows": rows, "programs": programs, "targets": [_target(row) for row in rows]}


def _row(packages: int) -> dict[str, Any]:
    """Seconds of each `manage.sh deploy`, Airflow's pods included, which the fake nodes start at once."""
    with rig.scratch() as folder, our_own(folder / "cluster.log") as cluster:
        seconds = {
            "first deploy": _deploy(cluster, folder, packages),
            "deploy of one more": _deploy(cluster, folder, packages + 1),
        }
        accounts = len(cluster.objects("serviceaccounts", JOBS)) - 1  # Kubernetes' own
        assert accounts == packages + 1, accounts
        policies = len(cluster.objects("networkpolicies", NAMESPACE)) + len(cluster.objects("networkpolicies", JOBS))
        return {"packages": packages, "policies": policies, "seconds": seconds}


def _deploy(cluster: Cluster, folder: Path, packages: int) -> float:
    started = time.monotonic()
    words = ("deploy", "dev", "--yes", "--outputs", outputs(folder, packages))
    cluster.manage(*words, AIRFLOW_DATABASE_URL=DATABASE)
    return round(time.monotonic() - started, 1)


def _target(row: dict[str, Any]) -> dict[str, Any]:
    measured = row["seconds"]["first deploy"]
    what = f"seconds until {row['packages']} packages are in the cluster, Airflow included"
    return {"what": what, "measured": measured, "at_most": LIMIT, "met": measured <= LIMIT}
