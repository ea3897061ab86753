"""What the stand-ins see of the cluster, and the loop that lets them act whenever something changed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes import client

METADATA_ONLY = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


@dataclass(frozen=True)
class Seen:
    """One look at the cluster.

    Args:
        names: (kind, namespace, name) of every Secret and ConfigMap.
    """

    nodes: list[Any]
    pods: list[Any]
    claims: list[Any]
    volumes: list[Any]
    attachments: list[Any]
    names: set[tuple[str, str, str]]


Actor = Callable[[client.ApiClient, Seen], None]


def look(api: client.ApiClient) -> Seen:
    """At everything, since the stand-ins remember nothing."""
    core, storage = client.CoreV1Api(api), client.StorageV1Api(api)
    return Seen(
        core.list_node().items,
        core.list_pod_for_all_namespaces().items,
        core.list_persistent_volume_claim_for_all_namespaces().items,
        core.list_persistent_volume().items,
        storage.list_volume_attachment().items,
        _names(api, "Secret", "/api/v1/secrets") | _names(api, "ConfigMap", "/api/v1/configmaps"),
    )


def _names(api: client.ApiClient, kind: str, path: str) -> set[tuple[str, str, str]]:
    answer = api.call_api(
        path, "GET", header_params={"Accept": METADATA_ONLY}, auth_settings=["BearerToken"], _preload_content=False
    )
    items = [item["metadata"] for item in json.loads(answer.data)["items"] or []]
    return {(kind, metadata["namespace"], metadata["name"]) for metadata in items}


WATCHED = (
    "/api/v1/nodes",
    "/api/v1/pods",
    "/api/v1/persistentvolumeclaims",
    "/api/v1/persistentvolumes",
    "/api/v1/secrets",
    "/api/v1/configmaps",
    "/apis/storage.k8s.io/v1/volumeattachments",
)


def act_on_changes(api: client.ApiClient, actors: list[Actor], check: Callable[[], None]) -> None:
    """Look and let each act, then wait until something changes; for ever, or until `check`, called each second, raises."""
    changed = threading.Event()
    for path in WATCHED:
        threading.Thread(target=_watch, args=(api, path, changed), daemon=True).start()
    while True:
        check()
        if not changed.wait(1):
            continue
        changed.clear()
        try:
            seen = look(api)
            for actor in actors:
                actor(api, seen)
        except (client.ApiException, urllib3.exceptions.HTTPError):  # somebody else was quicker: look again
            changed.set()


def _watch(api: client.ApiClient, path: str, changed: threading.Event) -> None:
    """Every second or so a new one at most: one that ended tells nothing."""
    while True:
        try:
            stream = api.call_api(
                path, "GET", query_params=[("watch", "true")], auth_settings=["BearerToken"],
                header_params={"Accept": METADATA_ONLY.replace("List", "")}, _preload_content=False,
            )  # fmt: skip
            for _ in stream.stream():
                changed.set()
        except (client.ApiException, urllib3.exceptions.HTTPError):
            time.sleep(0.5)
        changed.set()
