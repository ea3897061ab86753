"""Seven Raspberry Pis as the API server sees them."""

from __future__ import annotations

from typing import Any

from scripts.pinned import versions

PIS = ["pi-master", *(f"pi-worker-{number:02}" for number in range(2, 8))]


def nodes() -> list[dict[str, Any]]:
    """With what the system and Longhorn leave of 8 GB (values/platform/pi.yaml). `power=on` keeps one alive (stages.yaml)."""
    size = {"cpu": "4", "memory": "6Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    info = {
        "architecture": "arm64", "operatingSystem": "linux", "kubeletVersion": versions()["kubernetes"], "containerRuntimeVersion": "kwok://",
        "osImage": "", "kernelVersion": "", "kubeProxyVersion": "", "machineID": "", "systemUUID": "", "bootID": "",
    }  # fmt: skip
    labels = {"power": "on", "kubernetes.io/arch": "arm64", "kubernetes.io/os": "linux"}
    # Without it the attach-detach controller leaves the node's volumes to its kubelet, and says nothing.
    annotations = {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {**labels, "kubernetes.io/hostname": name},
                "annotations": annotations,
            },
            "status": {
                "capacity": size,
                "allocatable": size,
                "nodeInfo": info,
                "addresses": [
                    {"type": "InternalIP", "address": f"192.168.1.{number}"},
                    {"type": "Hostname", "address": name},
                ],
            },
        }
        for number, name in enumerate(PIS, 101)
    ]
