"""Whether the scheduler runs: its pods, their containers, and the event of the incident."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.checklist.kube import Object
from tests.checklist.verdict import Wrong

INCIDENT = "docs/how-to/from-the-incident.md"


def check(pods: Sequence[Object], events: Sequence[Object], namespace: str) -> str:
    """What was seen of the scheduler among all pods and events of a namespace. Raises Wrong."""
    alive = [pod for pod in pods if not _gone(pod)]
    schedulers = [pod for pod in alive if (pod["metadata"].get("labels") or {}).get("component") == "scheduler"]
    said = _multi_attach(events)
    for pod in alive:
        if pod["metadata"]["uid"] in said and not _ready(pod):
            message = said[pod["metadata"]["uid"]]["message"]
            raise Wrong(f"{_where(pod)} cannot start: {message} (one volume, two nodes: {INCIDENT})")
    if not schedulers:
        raise Wrong(f"no pod with the label component=scheduler in {namespace}: docs/how-to/deploy.md")
    for pod in schedulers:
        if not _ready(pod):
            raise Wrong(
                f"{_where(pod)} is {_standing(pod)}{_warning(pod, events)}; "
                f"kubectl describe pod {_name(pod)} --namespace {namespace}"
            )
    pods_said = sorted(event["involvedObject"]["name"] for event in said.values())
    over = f"a Multi-Attach event of {', '.join(pods_said)}, which is over" if said else "no Multi-Attach event"
    return "; ".join([*(f"{_where(pod)} {_standing(pod)}" for pod in schedulers), over])


def _gone(pod: Object) -> bool:
    """Evicted pods stay in the list; they are not what runs."""
    return bool(pod["metadata"].get("deletionTimestamp")) or pod["status"].get("phase") in ("Succeeded", "Failed")


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])


def _where(pod: Object) -> str:
    return f"{_name(pod)} on {pod['spec'].get('nodeName') or 'no node'}"


def _ready(pod: Object) -> bool:
    """The condition too: on a node that died the containers' states stay as they were."""
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions") or []}
    return conditions.get("Ready") == "True" and all(ready for _, ready, _ in _containers(pod))


def _containers(pod: Object) -> Iterator[tuple[str, bool, str]]:
    """Name, ready, and why not, of each that runs as long as the pod: native sidecars are among the init containers."""
    spec, status = pod["spec"], pod["status"]
    states = {
        one["name"]: one
        for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    }
    sidecars = [one for one in spec.get("initContainers") or [] if one.get("restartPolicy") == "Always"]
    for container in [*sidecars, *spec["containers"]]:
        state = states.get(container["name"], {})
        reasons = [one["reason"] for one in (state.get("state") or {}).values() if one.get("reason")]
        yield container["name"], bool(state.get("ready")), ", ".join(reasons) or "not ready"


def _standing(pod: Object) -> str:
    containers = list(_containers(pod))
    missing = [f"{name}: {why}" for name, ready, why in containers if not ready]
    text = f"{pod['status'].get('phase')}, {len(containers) - len(missing)}/{len(containers)} containers ready"
    if missing:
        return f"{text} ({'; '.join(missing)})"
    return text if _ready(pod) else f"{text}, but the pod is not: does its node answer?"


def _of(pod: Object, event: Object) -> bool:
    return bool(event["involvedObject"].get("uid") == pod["metadata"]["uid"])


def _warning(pod: Object, events: Sequence[Object]) -> str:
    """What Kubernetes said last about it."""
    warnings = [event for event in events if event.get("type") == "Warning" and _of(pod, event)]
    last = max(warnings, key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "", default=None)
    return f": {last['reason']}: {last['message']}" if last else ""


def _multi_attach(events: Sequence[Object]) -> dict[str, Object]:
    """By the pod's uid: a StatefulSet's pods have the same name again."""
    return {
        event["involvedObject"]["uid"]: event
        for event in events
        if event.get("reason") == "FailedAttachVolume" and "Multi-Attach" in event["message"]
    }
