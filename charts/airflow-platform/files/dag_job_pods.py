"""A job's pod that failed stays, to be read with `kubectl logs` and `kubectl describe`, and goes by age.

In Airflow's processes: `keep_failed(operator)` is what the cluster policy calls for KubernetesPodOperator, which deletes
each pod when its task ends. Its own `delete_succeeded_pod` keeps too much: also a pod that never started, or one that the
task lost sight of; both would run beside the next try.

In the cluster: a CronJob of our chart runs this file and deletes what ended long enough ago.
    python dag_job_pods.py --namespace etl-jobs --hours 24

Exit codes: 0 all that is old enough is gone, 1 Kubernetes did not answer or refused, 2 wrong words.
"""

from __future__ import annotations

import argparse
import functools
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

MADE_BY_OPERATOR = "kubernetes_pod_operator=True"  # the operator's own label
PAGE = 500  # pods asked for at a time
AUTHORS = (
    "on_finish_action",
    "is_delete_operator_pod",
)  # whoever gives one of them decides what happens when a task ends
ELSEWHERE = ("config_file", "cluster_context", "kubernetes_conn_id")  # may lead to a cluster that nobody cleans up


def keep_failed(operator: type, namespace: str) -> None:
    """Have `operator`, KubernetesPodOperator itself, keep pods of `namespace` that failed, where the author said nothing.

    Its subclasses, mapped tasks and deferred ones go through the same method.
    """
    delete = operator.process_pod_deletion  # type: ignore[attr-defined]
    if hasattr(delete, "__wrapped__"):
        return

    @functools.wraps(delete)
    def delete_unless_failed(self: Any, pod: Any, *, reraise: bool = True) -> Any:
        # Only the end of a task asks without `reraise`. A retry that finds a dead pod asks with it, and takes what is not
        # deleted for its own.
        if pod is not None and not reraise and _is_ours(self, pod, namespace) and _has_failed(self, pod):
            name, where = pod.metadata.name, pod.metadata.namespace
            self.log.info("Pod %s failed and stays for a while: kubectl logs --namespace %s %s", name, where, name)
            return False
        return delete(self, pod, reraise=reraise)

    operator.process_pod_deletion = delete_unless_failed  # type: ignore[attr-defined]


def _is_ours(task: Any, pod: Any, namespace: str) -> bool:
    """Whether nobody said what is to become of the pod, it is where pods are cleaned up, and its name is not needed again."""
    given = getattr(task, "_BaseOperator__init_kwargs", {})
    return (
        pod.metadata.namespace == namespace
        and not any(name in given for name in AUTHORS)
        and not any(given.get(name) for name in ELSEWHERE)
        and given.get("in_cluster") is not False
        and getattr(task, "random_name_suffix", True)
    )


def _has_failed(task: Any, pod: Any) -> bool:
    """Whether all of it ended, and the author's container badly. One whose sidecar goes on would hold its quota."""
    name = getattr(task, "base_container_name", None)
    own = [s.state.terminated for s in pod.status.container_statuses or [] if s.name == name and s.state]
    ended_well = any(state is not None and state.exit_code == 0 for state in own)
    return pod.status.phase == "Failed" and not ended_well


def clean(api: Any, namespace: str, age: timedelta, now: datetime) -> int:
    """Delete pods of tasks that ended more than `age` before `now`. Return how many.

    Args:
        api: kubernetes.client.CoreV1Api.

    Raises:
        kubernetes.client.ApiException: what the API server refused, but for a pod that is gone by now.
    """
    deleted, page = 0, None
    while True:
        pods = api.list_namespaced_pod(namespace, label_selector=MADE_BY_OPERATOR, limit=PAGE, _continue=page)
        for pod in pods.items:
            if pod.status.phase in ("Failed", "Succeeded") and now - _ended(pod) > age:
                deleted += _delete(api, pod)
        page = pods.metadata._continue
        if not page:
            return deleted


def _ended(pod: Any) -> datetime:
    """The last that happened to it: a container ended, or a condition changed, as when it was evicted or its node was lost."""
    states = [status.state.terminated for status in pod.status.container_statuses or [] if status.state]
    ends: list[datetime] = [state.finished_at for state in states if state and state.finished_at]
    changes: list[datetime] = [c.last_transition_time for c in pod.status.conditions or [] if c.last_transition_time]
    made: datetime = pod.metadata.creation_timestamp
    return max([*ends, *changes, made])


def _delete(api: Any, pod: Any) -> int:
    from kubernetes.client import ApiException, V1DeleteOptions, V1Preconditions

    same = V1DeleteOptions(preconditions=V1Preconditions(uid=pod.metadata.uid))
    try:
        api.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace, body=same)
    except ApiException as error:
        if error.status in (404, 409):  # gone, or another one of its name
            return 0
        raise
    return 1


def main() -> int:
    """Clean one namespace, from within the cluster."""
    parser = argparse.ArgumentParser(description="Delete pods of tasks that ended some time ago.")
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--hours", type=float, required=True, help="how long a pod that ended stays")
    options = parser.parse_args()

    from kubernetes import client, config
    from urllib3.exceptions import HTTPError

    try:
        config.load_incluster_config()
        deleted = clean(client.CoreV1Api(), options.namespace, timedelta(hours=options.hours), datetime.now(UTC))
    except config.ConfigException as error:
        print(f"dag_job_pods: runs in a pod with a service account's token only: {error}", file=sys.stderr)
        return 1
    except client.ApiException as error:
        print(f"dag_job_pods: Kubernetes answered {error.status} {error.reason}: {error.body}", file=sys.stderr)
        return 1
    except HTTPError as error:
        print(f"dag_job_pods: Kubernetes cannot be reached: {error}", file=sys.stderr)
        return 1
    print(
        f"dag_job_pods: {deleted} pods in {options.namespace} ended more than {options.hours:g} hours ago and were deleted"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
