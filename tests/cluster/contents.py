"""What is in a cluster, and what became of it: every object but those that move by themselves."""

from __future__ import annotations

import json
from typing import Any

from scripts.local.cluster.cluster import Cluster

Key = tuple[str, str, str]  # kind, namespace, name
Contents = dict[Key, dict[str, Any]]

# Kinds that are no state of a deployment: what happened, heartbeats, and views of other objects.
MOVING = {"componentstatuses", "endpoints", "events", "events.events.k8s.io", "leases.coordination.k8s.io", "nodes"}
RELEASE = "sh.helm.release.v1."  # Helm writes a Secret of that name for each revision
# Written by the API server and by controllers, while the object itself stays as it was.
WRITTEN = ("resourceVersion", "managedFields")
# A new object of the same contents differs in these, and one that was changed and changed back in the last two.
ITS_OWN = ("uid", "creationTimestamp", "generation", "deployment.kubernetes.io/revision")


def contents(cluster: Cluster) -> Contents:
    """Every object that is to stay, without its status, by kind, namespace and name."""
    kinds = cluster.kubectl("api-resources", "--verbs=get,list", "--output=name").split()
    listed = ",".join(kind for kind in kinds if kind not in MOVING)
    found = json.loads(cluster.kubectl("get", listed, "--all-namespaces", "--output=json"))["items"]
    return {
        (each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]): _lasting(each)
        for each in found
        if "deletionTimestamp" not in each["metadata"]
    }


def _lasting(each: dict[str, Any]) -> dict[str, Any]:
    metadata = {name: value for name, value in each["metadata"].items() if name not in WRITTEN}
    return {name: value for name, value in each.items() if name != "status"} | {"metadata": metadata}


def changes(before: Contents, after: Contents) -> set[tuple[str, str, str]]:
    """What was made, changed (also: deleted and made again) and deleted, as (what, kind, name)."""
    made = {("made", *key) for key in after.keys() - before.keys()}
    gone = {("deleted", *key) for key in before.keys() - after.keys()}
    changed = {("changed", *key) for key in before.keys() & after.keys() if before[key] != after[key]}
    return {(what, kind, name) for what, kind, _, name in made | gone | changed if not name.startswith(RELEASE)}


def written(objects: Contents, *kinds_left_out: str) -> Contents:
    """The objects without what tells one from another of the same contents."""
    return {
        key: _without(each, ITS_OWN)
        for key, each in objects.items()
        if key[0] not in kinds_left_out and not key[2].startswith(RELEASE)
    }


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without(inner, names) for name, inner in value.items() if name not in names}
