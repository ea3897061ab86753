"""Stands in for Longhorn's CSI driver: makes volumes for claims, attaches and detaches, nothing of it on a disk.

Who may attach what, and when, is decided by Kubernetes' own controller (https://kubernetes-csi.github.io/docs/).
"""

from __future__ import annotations

from typing import Any

from kubernetes import client

from scripts.local.cluster.seen import Seen

DRIVER = "driver.longhorn.io"
PROVISIONER = "volume.kubernetes.io/storage-provisioner"
FINALIZER = "external-attacher/driver-longhorn-io"


def objects(nodes: list[str]) -> list[dict[str, Any]]:
    """What an installation of Longhorn leaves in a cluster: driver, class, and the driver's place on each node."""
    driver: dict[str, Any] = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": DRIVER},
        "spec": {"attachRequired": True, "podInfoOnMount": True},
    }
    storage_class: dict[str, Any] = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "longhorn", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": DRIVER,
        "allowVolumeExpansion": True,
    }
    places: list[dict[str, Any]] = [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": {"name": node},
            "spec": {"drivers": [{"name": DRIVER, "nodeID": node}]},
        }
        for node in nodes
    ]
    return [driver, storage_class, *places]


def act(api: client.ApiClient, seen: Seen) -> None:
    """Do what is to be done now."""
    core, storage = client.CoreV1Api(api), client.StorageV1Api(api)
    volumes = {volume.metadata.name for volume in seen.volumes}
    for claim in seen.claims:
        if claim.status.phase == "Pending" and (claim.metadata.annotations or {}).get(PROVISIONER) == DRIVER:
            volume = _volume(claim)
            if volume["metadata"]["name"] not in volumes and not claim.metadata.deletion_timestamp:
                core.create_persistent_volume(volume)
    for volume in seen.volumes:
        released = volume.status.phase == "Released" and volume.spec.persistent_volume_reclaim_policy == "Delete"
        attached = any(a.spec.source.persistent_volume_name == volume.metadata.name for a in seen.attachments)
        if released and not attached and not volume.metadata.deletion_timestamp:
            core.delete_persistent_volume(volume.metadata.name)
    for attachment in seen.attachments:
        name, metadata = attachment.metadata.name, attachment.metadata
        if metadata.deletion_timestamp:
            if metadata.finalizers:
                storage.patch_volume_attachment(name, {"metadata": {"finalizers": None}})
        elif not metadata.finalizers:
            storage.patch_volume_attachment(name, {"metadata": {"finalizers": [FINALIZER]}})
        elif not (attachment.status and attachment.status.attached):
            storage.patch_volume_attachment_status(name, {"status": {"attached": True}})


def _volume(claim: Any) -> dict[str, Any]:
    name = f"pvc-{claim.metadata.uid}"
    return {
        "metadata": {"name": name, "annotations": {"pv.kubernetes.io/provisioned-by": DRIVER}},
        "spec": {
            "accessModes": claim.spec.access_modes,
            "capacity": claim.spec.resources.requests,
            "storageClassName": claim.spec.storage_class_name,
            "persistentVolumeReclaimPolicy": "Delete",
            "csi": {"driver": DRIVER, "volumeHandle": name, "fsType": "ext4"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": claim.metadata.namespace,
                "name": claim.metadata.name,
                "uid": claim.metadata.uid,
            },
        },
    }
