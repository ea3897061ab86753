"""What every pod says of itself: needs, probes, images, nodes."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from scripts.pinned import ROOT
from tests.helpers.charts import Case
from tests.helpers.workloads import Container, Inventory, Workload
from tests.policy.rules.registry import GI, quantity, rule

LONG_RUNNING = ("Deployment/", "StatefulSet/")


@rule
def containers_say_what_they_need(case: Case, inventory: Inventory) -> Iterator[str]:
    """Without requests the scheduler packs seven Pis blindly; without a memory limit one pod takes a node down."""
    for workload, container in inventory.containers():
        requests, limits = container.facts.get("requests", {}), container.facts.get("limits", {})
        if not {"cpu", "memory"} <= set(requests) or "memory" not in limits:
            yield f"{workload.ref}/{container.name}: requests {requests}, limits {limits}"
        elif quantity(requests["memory"]) > quantity(limits["memory"]):
            yield f"{workload.ref}/{container.name}: requests more memory than its limit"


UNPROBED = ("log-groomer", "redis", "statsd")  # the chart has no probe for them; all end when they fail


@rule
def what_runs_is_probed(case: Case, inventory: Inventory) -> Iterator[str]:
    """A process that hangs is restarted; a sidecar gates Airflow's start by its first sync."""
    for workload, container in inventory.containers():
        probes = container.facts.get("probes", {})
        where = f"{workload.ref}/{container.name}"
        if container.role == "sidecar" and not {"startup", "liveness"} <= set(probes):
            yield f"{where}: probes {sorted(probes)}"
        if container.role == "main" and workload.ref.startswith(LONG_RUNNING) and not container.name.endswith(UNPROBED):
            watched = "startup" if container.name == "git-sync" else "liveness"
            if watched not in probes:
                yield f"{where}: no {watched} probe"


PINNED = {
    f"{image['repository']}:{image['tag']}": image
    for image in yaml.safe_load((ROOT / "versions.yaml").read_text())["images"].values()
}
OWN_IMAGE = (
    "123456789012.dkr.ecr.eu-central-1.amazonaws.com/airflow-dags:2026-11-21.1"  # what delivery/image is tested with
)


@rule
def images_are_pinned(case: Case, inventory: Inventory) -> Iterator[str]:
    """Each once in versions.yaml; `latest` is never the same twice; a Pi runs arm64."""
    for workload, container in inventory.containers():
        image = container.image.removeprefix("docker.io/")
        if image == OWN_IMAGE and case.of("delivery") == "image":
            continue
        if image not in PINNED:
            yield f"{workload.ref}/{container.name}: {image} is not in versions.yaml"
        elif case.of("platform") == "pi" and "linux/arm64" not in PINNED[image]["platforms"]:
            yield f"{workload.ref}/{container.name}: {image} is not for arm64"


@rule
def pods_of_the_pi_go_to_arm64(case: Case, inventory: Inventory) -> Iterator[str]:
    """A mixed cluster would start them anywhere."""
    for workload in inventory.workloads:
        if case.of("platform") == "pi" and workload.facts.get("nodes") != {"kubernetes.io/arch": "arm64"}:
            yield f"{workload.ref}: nodes {workload.facts.get('nodes')}"


PI_NODES, PI_MEMORY, PI_CPU = (
    7,
    6 * GI,
    4,
)  # 8 GB each, of which the system and Longhorn leave 6: values/platform/pi.yaml


@rule
def the_pi_cluster_carries_it(case: Case, inventory: Inventory) -> Iterator[str]:
    """Requests, twice those of what a rollout doubles, and the jobs' quota fit seven Pis; no pod needs more than half of one."""
    if case.of("platform") != "pi":
        return
    memory = cpu = 0.0
    for workload in inventory.workloads:
        pod = {name: _request(workload, name) for name in ("memory", "cpu")}
        if pod["memory"] > PI_MEMORY / 2 or pod["cpu"] > PI_CPU / 2:
            yield f"{workload.ref}: one pod asks for {pod['memory'] / GI:.1f} GiB and {pod['cpu']} CPU"
        times = workload.replicas + (1 if workload.may_overlap else 0)
        memory, cpu = memory + times * pod["memory"], cpu + times * pod["cpu"]
    quota = yaml.safe_load((ROOT / "values/airflow-platform/platform/pi.yaml").read_text())["jobs"]["quota"]
    memory, cpu = memory + quantity(quota["requests.memory"]), cpu + quantity(quota["requests.cpu"])
    if memory > PI_NODES * PI_MEMORY or cpu > PI_NODES * PI_CPU:
        yield f"all together: {memory / GI:.1f} GiB of {PI_NODES * PI_MEMORY / GI:.0f}, {cpu:.1f} CPU of {PI_NODES * PI_CPU}"


def _request(workload: Workload, name: str) -> float:
    """What Kubernetes reserves: the sum of what runs, or the largest of what runs before."""

    def of(container: Container) -> float:
        return quantity(container.facts.get("requests", {}).get(name, 0))

    runs = sum(of(c) for c in workload.containers if c.role != "init")
    return max([runs, *(of(c) for c in workload.containers if c.role == "init")])


@rule
def service_links_are_off(case: Case, inventory: Inventory) -> Iterator[str]:
    """A Service named airflow-… would put AIRFLOW_… variables into each pod."""
    for workload in inventory.workloads:
        if workload.component not in ("postgresql", "primary") and workload.facts.get("serviceLinks") is not False:
            yield f"{workload.ref}: enableServiceLinks is {workload.facts.get('serviceLinks')}"


@rule
def a_change_of_our_code_rolls_airflow(case: Case, inventory: Inventory) -> Iterator[str]:
    """The ConfigMap is another release's: nothing else would restart the pods that mount it."""
    for workload in inventory.workloads:
        mounts_ours = any(v.get("configMap") == "airflow-platform-code" for v in workload.volumes.values())
        if (
            mounts_ours
            and workload.component
            not in ("pgbouncer", "dag-adopter", "job-cleanup")  # ours roll themselves, a CronJob begins anew
            and "airflow-platform" not in workload.facts.get("checksums", [])
        ):
            yield f"{workload.ref}: mounts our code and has no checksum of it"


@rule
def all_of_airflow_is_one_image(case: Case, inventory: Inventory) -> Iterator[str]:
    """`images.airflow` leaves Kubernetes task pods and Flower on the stock image (trap 13); the default image reaches all."""
    wanted = inventory.workload("Deployment/airflow-scheduler").container("scheduler").image
    ours = {
        "scheduler",
        "dag-processor",
        "triggerer",
        "worker",
        "api-server",
        "flower",
        "run-airflow-migrations",
        "create-user-job",
        "database-cleanup",
    }
    for workload, container in inventory.containers():
        if workload.component in ours and not container.name.startswith("git-sync") and container.image != wanted:
            yield f"{workload.ref}/{container.name}: {container.image}, not {wanted}"
