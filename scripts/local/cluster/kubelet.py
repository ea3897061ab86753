"""Stands in for the part of a kubelet that decides whether a pod can start, which kwok does not have.

A pod starts when its claims' volumes are attached to its node and the Secrets and ConfigMaps that it names are there; it is
taken away when its volumes are unmounted. A node without power does neither, and goes on holding what it had mounted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubernetes import client

from scripts.local.cluster.longhorn import DRIVER
from scripts.local.cluster.seen import Seen

CAN_START = "airflow-platform.test/can-start"  # stages.yaml waits for it
MOUNTED = "airflow-platform.test/mounted"


def act(api: client.ApiClient, seen: Seen) -> None:
    """Do what is to be done now."""
    core = client.CoreV1Api(api)
    for node in seen.nodes:
        if (node.metadata.labels or {}).get("power") != "on":
            continue
        pods = [pod for pod in seen.pods if pod.spec.node_name == node.metadata.name]
        attached = {volume.name for volume in node.status.volumes_attached or []}
        starting = [
            pod for pod in pods if _is_new(pod) and set(_volumes(pod, seen)) <= attached and not _missing(pod, seen)
        ]
        leaving = [pod for pod in pods if _has(pod, MOUNTED) and not _needs_volumes(pod)]
        in_use = sorted(
            {
                v
                for pod in pods
                if pod in starting or (_has(pod, MOUNTED) and _needs_volumes(pod))
                for v in _volumes(pod, seen)
            }
        )
        if in_use != sorted(node.status.volumes_in_use or []):
            core.patch_node_status(node.metadata.name, {"status": {"volumesInUse": in_use}})
        for pod in starting:
            _annotate(core, pod, {CAN_START: "true", **({MOUNTED: "true"} if _claims(pod) else {})})
        for pod in leaving:
            _annotate(core, pod, {MOUNTED: None})


def _annotate(core: client.CoreV1Api, pod: Any, annotations: dict[str, str | None]) -> None:
    try:
        core.patch_namespaced_pod(pod.metadata.name, pod.metadata.namespace, {"metadata": {"annotations": annotations}})
    except client.ApiException as error:
        if error.status != 404:
            raise


def _has(pod: Any, annotation: str) -> bool:
    return annotation in (pod.metadata.annotations or {})


def _is_new(pod: Any) -> bool:
    return pod.status.phase == "Pending" and not pod.metadata.deletion_timestamp and not _has(pod, CAN_START)


def _needs_volumes(pod: Any) -> bool:
    return not pod.metadata.deletion_timestamp and pod.status.phase not in ("Succeeded", "Failed")


def _claims(pod: Any) -> list[str]:
    return [v.persistent_volume_claim.claim_name for v in pod.spec.volumes or [] if v.persistent_volume_claim]


def _volumes(pod: Any, seen: Seen) -> list[str]:
    """Names as the attach-detach controller writes them into a node's status; `unbound` is never among those."""
    bound = {(claim.metadata.namespace, claim.metadata.name): claim.spec.volume_name for claim in seen.claims}
    names = [bound.get((pod.metadata.namespace, claim)) for claim in _claims(pod)]
    return [f"kubernetes.io/csi/{DRIVER}^{name}" if name else "unbound" for name in names]


def _missing(pod: Any, seen: Seen) -> set[tuple[str, str, str]]:
    return {(kind, pod.metadata.namespace, name) for kind, name in _references(pod.spec)} - seen.names


def _references(spec: Any) -> Iterator[tuple[str, str]]:
    """Secrets and ConfigMaps without which no kubelet starts a container."""
    for volume in spec.volumes or []:
        if volume.secret and not volume.secret.optional:
            yield "Secret", volume.secret.secret_name
        if volume.config_map and not volume.config_map.optional:
            yield "ConfigMap", volume.config_map.name
    for container in [*(spec.init_containers or []), *spec.containers]:
        for one in container.env or []:
            source = one.value_from
            if source and source.secret_key_ref and not source.secret_key_ref.optional:
                yield "Secret", source.secret_key_ref.name
            if source and source.config_map_key_ref and not source.config_map_key_ref.optional:
                yield "ConfigMap", source.config_map_key_ref.name
        for many in container.env_from or []:
            if many.secret_ref and not many.secret_ref.optional:
                yield "Secret", many.secret_ref.name
            if many.config_map_ref and not many.config_map_ref.optional:
                yield "ConfigMap", many.config_map_ref.name
