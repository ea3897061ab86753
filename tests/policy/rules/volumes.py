"""Volumes: who mounts what, and nothing that a second node could not attach."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePath

from tests.helpers.charts import Case
from tests.helpers.workloads import Container, Inventory, Workload
from tests.policy.rules.registry import quantity, rule

DAGS = "/opt/airflow/dags"
OF_DAGS = ("dags", "dag-store")  # volumes
DELIVERERS = ("dag-sync", "dag-sync-init", "git-sync", "git-sync-init")  # containers that write DAGs


@rule
def no_claim_for_one_node_is_reached_from_two_pods(case: Case, inventory: Inventory) -> Iterator[str]:
    """Two nodes cannot attach one ReadWriteOnce volume: the Multi-Attach incident, and its cousins in a rollout."""
    users: dict[str, list[Workload]] = defaultdict(list)
    for workload in inventory.workloads:
        for claim in workload.claims().values():
            users[claim].append(workload)
    for claim, workloads in users.items():
        modes = inventory.facts.get("claims", {}).get(claim, {}).get("modes")
        if modes is not None and "ReadWriteMany" in modes:
            continue
        said = "ReadWriteOnce" if modes else "of a mode that nobody here can see"
        for workload in workloads:
            if len(workloads) > 1:
                others = ", ".join(other.ref for other in workloads if other != workload)
                yield f"{workload.ref}: claim {claim} is {said} and also mounted by {others}"
            elif workload.may_overlap:
                yield f"{workload.ref}: claim {claim} is {said} and a rollout has two pods of it at once"


@rule
def dags_have_a_claim_only_as_a_shared_volume(case: Case, inventory: Inventory) -> Iterator[str]:
    """git-sync and S3 need a folder per pod, and nothing else."""
    wanted = case.of("delivery") == "shared-volume"
    for workload in inventory.workloads:
        for container in workload.containers:
            for mount in container.mounts:
                claim = workload.claims().get(mount.volume)
                if mount.path.startswith(DAGS) and bool(claim) != wanted:
                    yield f"{workload.ref}/{container.name}: {mount.path} is from {claim or 'a folder of the pod'}"


def readers(case: Case) -> set[str]:
    """Components that read DAGs: who parses them, and who runs tasks."""
    runs = {"local": "scheduler", "celery": "worker", "kubernetes": "worker"}[case.of("executor")]
    # The chart mounts git-sync's folder in the triggerer too; Airflow 3 does not read it there.
    return {"dag-processor", runs} | ({"triggerer"} if case.of("delivery") == "git-sync" else set())


@rule
def those_mount_dags_that_read_them(case: Case, inventory: Inventory) -> Iterator[str]:
    """A pod that mounts them for nothing costs a copy; one that misses them fails its tasks."""
    if case.of("delivery") == "image":
        wanted: set[str] = set()
    else:
        wanted = readers(case)
    volume = "dag-bundles" if case.of("delivery") in ("dag-bundle", "git-bundle") else "dags"
    # The first one does the work; the log groomer beside it gets the mounts as well (trap 2).
    workers = {w.component: next(c for c in w.containers if c.role == "main") for w in inventory.workloads}
    found = {component for component, c in workers.items() if volume in {mount.volume for mount in c.mounts}}
    for component in sorted(wanted ^ found):
        yield f"{component}: {'mounts DAGs and reads none' if component in found else 'reads DAGs and mounts none'}"


@rule
def dags_are_writable_for_who_delivers_them_only(case: Case, inventory: Inventory) -> Iterator[str]:
    """A writable __pycache__, or a task that edits a file, poisons the others; a subPath never sees a flip."""
    for workload, container in inventory.containers():
        for mount in container.mounts:
            if mount.volume in OF_DAGS and not mount.read_only and container.name not in DELIVERERS:
                yield f"{workload.ref}/{container.name}: {mount.path} is writable"
            if mount.volume in OF_DAGS and mount.sub_path:
                yield f"{workload.ref}/{container.name}: {mount.path} is a subPath"


@rule
def dags_are_at_one_path(case: Case, inventory: Inventory) -> Iterator[str]:
    """A DAG's file location is part of its identity."""
    paths = {
        m.path
        for _, c in inventory.containers()
        for m in c.mounts
        if m.volume in ("dags", "dag-bundles") and c.name not in DELIVERERS
    }
    if case.of("delivery") in ("s3-sync", "s3-bundle"):
        paths.discard(
            "/opt/airflow/dag-bundles"
        )  # links and locks of bundles; the DAGs' own path is the same below each
    if len(paths) > 1:
        yield f"DAGs are mounted at {sorted(paths)}"
    folder = inventory.option("core", "dags_folder") or ""
    if (
        paths
        and not case.of("delivery").endswith("-bundle")
        and not any(p.startswith(folder) or folder.startswith(p) for p in paths)
    ):
        yield f"[core] dags_folder is {folder}, and DAGs are mounted at {sorted(paths)}"


@rule
def the_store_is_out_of_the_way_and_where_links_lead(case: Case, inventory: Inventory) -> Iterator[str]:
    """Code that searches the DAGs folder finds no older version; a link leads to the same place in each container."""
    folder = PurePath(inventory.option("core", "dags_folder") or DAGS)
    for workload in inventory.workloads:
        for container in workload.containers:
            if not container.name.startswith("dag-sync"):
                continue
            where = f"{workload.ref}/{container.name}"
            root, link = (PurePath(container.env.get(f"DAG_SYNC_{name}") or DAGS) for name in ("ROOT", "LINK"))
            if root.is_relative_to(folder) or link != folder:
                yield f"{where}: the store is in {root}, the links are in {link}, and Airflow reads {folder}"
            for other in workload.containers:
                paths = {mount.path for mount in other.mounts}
                if str(link) in paths and str(root) not in paths:
                    yield f"{workload.ref}/{other.name} mounts {link} and not {root}, where its links lead"


@rule
def volumes_and_mounts_fit_together(case: Case, inventory: Inventory) -> Iterator[str]:
    """`helm template` renders all of these; the API server, or the kubelet, refuses them (trap 1)."""
    for workload in inventory.workloads:
        for name in workload.duplicate_volumes:
            yield f"{workload.ref}: volume {name} is there twice"
        for name in workload.facts.get("duplicates", []):
            yield f"{workload.ref}: container {name} is there twice"
        made = {v["name"] for v in workload.facts.get("volumes", [])} | _templated(inventory, workload)
        for container in workload.containers:
            paths = [mount.path for mount in container.mounts]
            for mount in container.mounts:
                where = f"{workload.ref}/{container.name}: {mount.path}"
                if mount.volume not in made:
                    yield f"{where} mounts {mount.volume}, which is no volume of the pod"
                if paths.count(mount.path) > 1:
                    yield f"{where} is mounted twice"
                if any(other.read_only and mount.path.startswith(f"{other.path}/") for other in container.mounts):
                    yield f"{where} is inside another mount that is read-only: the container cannot start"


def _templated(inventory: Inventory, workload: Workload) -> set[str]:
    """Volumes that each pod of a StatefulSet gets for itself."""
    name = workload.ref.partition("/")[2]
    return {c.removeprefix(f"{name}/") for c in inventory.facts.get("claims", {}) if c.startswith(f"{name}/")}


@rule
def folders_of_pods_are_limited(case: Case, inventory: Inventory) -> Iterator[str]:
    """One pod's files must not fill a node's disk (a Pi's SD card) for all others."""
    for workload in inventory.workloads:
        for volume in workload.volumes.values():
            if "emptyDir" in volume and not volume.get("sizeLimit"):
                yield f"{workload.ref}: emptyDir {volume['name']} has no sizeLimit"


@rule
def the_budget_of_dag_sync_is_half_of_its_volume(case: Case, inventory: Inventory) -> Iterator[str]:
    """A pod over the limit is evicted; over the budget a version is only refused (protocol-review B7)."""
    for workload, container in inventory.containers():
        budget = container.env.get("DAG_SYNC_MAX_BYTES")
        if container.name.startswith("dag-sync"):
            store = next((m.volume for m in container.mounts if m.path == container.env.get("DAG_SYNC_ROOT")), "")
            limit = workload.volumes.get(store, {}).get("sizeLimit", 0)
            if not budget or 2 * int(budget) > quantity(limit):
                yield f"{workload.ref}/{container.name}: may keep {budget} bytes on a volume of {limit}"


@rule
def logs_are_groomed_below_their_limit(case: Case, inventory: Inventory) -> Iterator[str]:
    """No claim for logs; a folder, groomed before the pod is evicted for it. Tasks' pods end before they need it."""
    for workload in inventory.workloads:
        for container in workload.containers:
            if (
                container.role != "main"
                or not any(m.volume == "logs" for m in container.mounts)
                or workload.ref == "Pod/task"
            ):
                continue
            limit = quantity(workload.volumes.get("logs", {}).get("sizeLimit", 0))
            kept = [
                int(c.env.get("AIRFLOW__LOG_MAX_SIZE_BYTES", 0))
                for c in workload.containers
                if c.name.endswith("log-groomer")
            ]
            if not kept or not 0 < kept[0] < limit / 2:
                yield f"{workload.ref}/{container.name}: logs of {limit:.0f} bytes, groomed at {kept or 'never'}"


@rule
def claims_are_of_data_alone(case: Case, inventory: Inventory) -> Iterator[str]:
    """The chart's default is 100 GiB of logs for each stateful component (trap 18)."""
    allowed = {"airflow-postgresql/data", "airflow-redis/redis-db", "airflow-platform-dags"}
    for claim in inventory.facts.get("claims", {}):
        if claim not in allowed:
            yield f"claim {claim}"


@rule
def who_reads_dags_is_given_them(case: Case, inventory: Inventory) -> Iterator[str]:
    """A mount alone stays empty: beside each reader is what fills it, before it starts and ever after."""
    for workload in inventory.workloads:
        if workload.component not in readers(case) or workload.component == "triggerer":
            continue
        found, task = workload.facts["containers"], workload.ref == "Pod/task"
        if case.of("delivery") in ("s3-sync", "s3-bundle"):
            name, role = ("dag-sync-init", "init") if task else ("dag-sync", "sidecar")
            env = Container(name, found.get(name, {})).env if name in found else {}
            if found.get(name, {}).get("role") != role:
                yield f"{workload.ref}: no {role} container {name}"
            for variable in ("DAG_SYNC_BUCKET", "DAG_SYNC_ENVIRONMENT", "DAG_SYNC_INTERVAL", "AWS_DEFAULT_REGION"):
                if not env.get(variable):
                    yield f"{workload.ref}/{name}: {variable} is not set"
        if case.of("delivery") == "git-sync":
            for name in ("git-sync-init",) if task else ("git-sync-init", "git-sync"):
                env = Container(name, found[name]).env if name in found else {}
                if env.get("GITSYNC_MAX_FAILURES") != "-1":
                    yield f"{workload.ref}/{name}: ends when the git server is away"
                if "GITSYNC_HTTP_METRICS" in env and "GITSYNC_HTTP_BIND" not in env:
                    yield f"{workload.ref}/{name}: metrics without an address: git-sync ends at once"
