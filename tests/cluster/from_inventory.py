"""Objects again from an inventory, as far as volumes and nodes go: what the controllers decide by, without the chart."""

from __future__ import annotations

from typing import Any

from tests.helpers.facts import Facts

Manifest = dict[str, Any]


def objects(facts: Facts, namespace: str) -> list[Manifest]:
    """Claims, Deployments and StatefulSets; every class of volumes is the one that this cluster has."""
    shared = [_claim(name, claim) for name, claim in facts.get("claims", {}).items() if not claim.get("perPod")]
    workloads = [
        _workload(ref, workload, facts)
        for ref, workload in facts["workloads"].items()
        if ref.startswith(("Deployment/", "StatefulSet/"))
    ]
    for manifest in [*shared, *workloads]:
        manifest["metadata"]["namespace"] = namespace
    return [*shared, *workloads]


def _claim(name: str, claim: Facts) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {
            "accessModes": claim["modes"],
            "storageClassName": "longhorn",
            "resources": {"requests": {"storage": claim["size"]}},
        },
    }


def _workload(ref: str, workload: Facts, facts: Facts) -> Manifest:
    kind, name = ref.split("/")
    templates = [
        _claim(claim.split("/")[1], spec)
        for claim, spec in facts.get("claims", {}).items()
        if claim.startswith(f"{name}/")
    ]
    labels = {**workload["labels"], "workload": name}
    spec: Manifest = {
        "replicas": workload.get("replicas", 1),
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": _pod(workload, templates)},
    }
    strategy = {"type": "RollingUpdate", **(workload.get("strategy") or {})}
    if kind == "Deployment":
        spec["strategy"] = strategy
    else:
        spec |= {"serviceName": name, "updateStrategy": strategy, "volumeClaimTemplates": templates}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _pod(workload: Facts, templates: list[Manifest]) -> Manifest:
    volumes = [_volume(volume) for volume in workload.get("volumes", [])]
    mounted = [template["metadata"]["name"] for template in templates]
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in [*(v["name"] for v in volumes), *mounted]]
    containers = {"init": [], "sidecar": [], "main": []}  # type: dict[str, list[Manifest]]
    for name, container in workload["containers"].items():
        always = {"restartPolicy": "Always"} if container["role"] == "sidecar" else {}
        containers[container["role"]].append(
            {"name": name, "image": container["image"], "volumeMounts": mounts, **always}
        )
    return {
        "nodeSelector": workload.get("nodes"),
        "terminationGracePeriodSeconds": workload.get("graceSeconds", 30),
        "initContainers": [*containers["init"], *containers["sidecar"]],
        "containers": containers["main"],
        "volumes": volumes,
    }


def _volume(volume: Facts) -> Manifest:
    claim = volume.get("persistentVolumeClaim")
    kind = {"persistentVolumeClaim": {"claimName": claim}} if claim else {"emptyDir": {}}
    return {"name": volume["name"], **kind}
