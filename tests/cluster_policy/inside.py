"""Runs inside Airflow: answers one question a line, each in a fork, as dag-processor parses each file in one.

Airflow has loaded the policies from `$AIRFLOW_HOME/config`, the way it does in the cluster.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
import uuid
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import structlog
from airflow.api_fastapi.execution_api.datamodels.taskinstance import DagRun, TaskInstance
from airflow.callbacks.callback_requests import DagCallbackRequest, DagRunContext
from airflow.dag_processing.dagbag import BundleDagBag, DagBag
from airflow.dag_processing.processor import DagFileParseRequest, _parse_file
from airflow.executors.workloads import BundleInfo, ExecuteTask
from airflow.executors.workloads.task import TaskInstanceDTO
from airflow.sdk.execution_time import task_runner

KUBERNETES = "kubernetes.client"
SMTP = "airflow.providers.smtp.notifications.smtp"


def parse(root: str, bundle: bool = True) -> dict[str, Any]:
    """Read a folder of DAGs. Return the accepted ones' ids, the import errors, and whether the provider was loaded."""
    bag = _bag(root) if bundle else DagBag(root, include_examples=False)
    return {"dags": sorted(bag.dags), "errors": bag.import_errors, "provider": KUBERNETES in sys.modules}


def process(root: str, file: str) -> dict[str, Any]:
    """Read a file as the child of dag-processor does."""
    request = DagFileParseRequest(
        file=f"{root}/{file}", bundle_path=Path(root), bundle_name="dags-folder", callback_requests=[]
    )
    result = _parse_file(request, structlog.get_logger())
    assert result
    return {
        "dags": {d.dag_id: d.data for d in result.serialized_dags},
        "errors": {Path(f).name: e for f, e in (result.import_errors or {}).items()},
    }


def callbacks(root: str, *, times: int = 1) -> dict[str, Any]:
    """What each DAG of a folder calls when it fails, once the policy saw it `times` times, and the lines logged."""
    lines = _lines()
    bag = _bag(root)
    for _ in range(times - 1):
        for dag in list(bag.dags.values()):
            bag.bag_dag(dag)
    calls = {}
    for dag_id, dag in bag.dags.items():
        given = dag.on_failure_callback
        assert dag.has_on_failure_callback == (given is not None)
        calls[dag_id] = [_name(c) for c in given] if isinstance(given, list) else given and _name(given)
    return {
        "calls": calls,
        "errors": bag.import_errors,
        "log": lines,
        "loaded": SMTP in sys.modules,
    }


def fail(
    root: str, file: str, dag_id: str, runs: list[str], task_id: str | None, env: dict[str, str]
) -> dict[str, Any]:
    """Have failed runs handled as the child of dag-processor does. `task_id`: the task that failed them."""
    os.environ |= env
    now = datetime.now(UTC)
    requests = []
    for run_id in runs:
        run = DagRun(
            dag_id=dag_id, run_id=run_id, logical_date=now, data_interval_start=now, data_interval_end=now, run_after=now,
            start_date=now, end_date=now, run_type="manual", state="failed", consumed_asset_events=[], partition_key=None,
        )  # fmt: skip
        ti = task_id and TaskInstance(
            id=uuid.uuid4(), dag_version_id=uuid.uuid4(), task_id=task_id, dag_id=dag_id, run_id=run_id, try_number=1
        )
        requests.append(
            DagCallbackRequest(
                filepath=file, bundle_name="dags-folder", bundle_version=None, dag_id=dag_id, run_id=run_id,
                context_from_server=DagRunContext(dag_run=run, last_ti=ti), msg="task_failure",
            )
        )  # fmt: skip
    sent = DagFileParseRequest(
        file=f"{root}/{file}", bundle_path=Path(root), bundle_name="dags-folder", callback_requests=requests
    )
    with structlog.testing.capture_logs() as lines:
        assert _parse_file(sent, structlog.get_logger()) is None
    return {"log": lines}


def run(bundle: str, file: str, dag_id: str, task_id: str) -> dict[str, Any]:
    """Get a task as the task runner does. Return its arguments, or how the runner ended."""
    ti = SimpleNamespace(dag_id=dag_id, task_id=task_id, model_dump=lambda **_: {})
    what = SimpleNamespace(
        bundle_info=BundleInfo(name=bundle),
        dag_rel_path=file,
        ti=ti,
        ti_context=SimpleNamespace(max_tries=0, task_reschedule_count=99),
        start_date=None,
        sentry_integration="",
    )
    try:
        task = task_runner.parse(what, structlog.get_logger()).task  # type: ignore[arg-type]
    except SystemExit as end:
        return {"exit": end.code}
    return {"namespace": task.namespace, "labels": task.labels, "service_account_name": task.service_account_name}


def pod(root: str, dag_id: str, task_id: str, mapped: dict[str, Any] | None = None) -> dict[str, Any]:
    """The pod that a task asks for, as the API server would get it; `mapped`: what it is expanded with."""
    from kubernetes.client import ApiClient

    bag = _bag(root)
    if dag_id not in bag.dags:
        return {"errors": bag.import_errors}
    dag = bag.dags[dag_id]
    task = dag.get_task(task_id)
    context = {
        "ti": SimpleNamespace(dag_id=dag_id, task_id=task_id, map_index=0 if mapped else -1, try_number=1),
        "run_id": "manual",
        "dag": dag,
    }
    try:
        task = task.unmap(mapped) if mapped else task
        task.hook = SimpleNamespace(
            get_namespace=lambda: None,
            is_in_cluster=True,
            get_xcom_sidecar_container_image=lambda: None,
            get_xcom_sidecar_container_resources=lambda: None,
        )
        build = getattr(task, "build_job_request_obj", task.build_pod_request_obj)
        return {"pod": ApiClient().sanitize_for_serialization(build(context))}
    except Exception as error:
        return {"errors": {"": f"{type(error).__name__}: {error}"}}


def end(
    root: str,
    dag_id: str,
    task_id: str,
    phase: str,
    namespace: str,
    mapped: dict[str, Any] | None = None,
    base: int | None = None,
    retry: bool = False,
) -> dict[str, bool]:
    """Whether a task deletes its pod of that phase when it ends, as every way through the operator asks.

    `base`: exit code of the author's container; `retry`: a later try found the pod.
    """
    from kubernetes import client as k8s

    task = _bag(root).dags[dag_id].get_task(task_id)
    task = task.unmap(mapped) if mapped else task
    deleted: list[Any] = []
    task.pod_manager = SimpleNamespace(delete_pod=deleted.append)
    ended = k8s.V1ContainerState(terminated=k8s.V1ContainerStateTerminated(exit_code=base or 0))
    status = k8s.V1ContainerStatus(name="base", state=ended, image="", image_id="", ready=False, restart_count=0)
    pod = k8s.V1Pod(
        metadata=k8s.V1ObjectMeta(name="job", namespace=namespace, labels={"try_number": "1"}),
        status=k8s.V1PodStatus(phase=phase, container_statuses=[] if base is None else [status]),
        spec=k8s.V1PodSpec(containers=[]),
    )
    if retry:
        created: list[Any] = []
        task.pod_manager.create_pod = lambda pod: created.append(pod)
        task.find_pod = lambda *_, **__: pod
        task.get_or_create_pod(pod, context={})
        return {"deleted": bool(deleted) and bool(created)}
    task.process_pod_deletion(pod, reraise=False)
    return {"deleted": bool(deleted)}


def executor_pod(dag_id: str, file: str, template: str, override: dict[str, Any] | None = None) -> dict[str, Any]:
    """The pod that KubernetesExecutor makes for a task of `file`: its scheduler's own `run_next`, up to the API call."""
    from airflow.models.taskinstancekey import TaskInstanceKey
    from airflow.providers.cncf.kubernetes.executors.kubernetes_executor_types import KubernetesJob
    from airflow.providers.cncf.kubernetes.executors.kubernetes_executor_utils import AirflowKubernetesScheduler
    from airflow.providers.cncf.kubernetes.kube_config import KubeConfig
    from airflow.providers.cncf.kubernetes.pod_generator import PodGenerator
    from kubernetes.client import ApiClient

    made: list[Any] = []
    scheduler = object.__new__(AirflowKubernetesScheduler)
    scheduler.__dict__ |= {
        "namespace": "airflow",
        "scheduler_job_id": "1",
        "kube_config": KubeConfig(),
        "run_pod_async": lambda pod, **_: made.append(pod),
    }
    ti = TaskInstanceDTO(
        id=uuid.uuid4(), dag_version_id=uuid.uuid4(), task_id="one", dag_id=dag_id, run_id="manual", try_number=1,
        pool_slots=1, queue="default", priority_weight=1,
    )  # fmt: skip
    workload = ExecuteTask(
        ti=ti, dag_rel_path=Path(file), token="", log_path=None, bundle_info=BundleInfo(name="dags-folder")
    )
    config = PodGenerator.deserialize_model_dict(override) if override else None
    scheduler.run_next(
        KubernetesJob(TaskInstanceKey(dag_id, "one", "manual", 1, -1), [workload], config, template)  # type: ignore[arg-type]
    )
    return {"pod": ApiClient().sanitize_for_serialization(made[0])}


def read(path: str, move: tuple[str, str] | None = None) -> dict[str, Any]:
    """Read a policy.json twice, and after a file was moved. Return what was read, and the lines logged."""
    import airflow_local_settings as policies

    lines = _lines()
    file = policies.SettingsFile(Path(path))
    first, second = file.read(), file.read()
    result = {"settings": _plain(first), "cached": first is second, "log": lines}
    if move:
        Path(move[0]).replace(move[1])
        result["moved"] = _plain(file.read())
    return result


def _lines() -> list[str]:
    """The lines that the policies log from now on."""
    import airflow_local_settings as policies

    lines: list[str] = []
    policies.log.error = lambda text, *args: lines.append(text % args)  # type: ignore[method-assign]
    return lines


def _name(callback: Any) -> str:
    """A function's name, or the class and arguments of a notifier of ours."""
    made = getattr(callback, "cls", None)
    return f"{made.__module__}.{made.__name__}({callback.kwargs})" if made else callback.__name__


def _plain(settings: Any) -> dict[str, Any]:
    return {k: sorted(v) if isinstance(v, frozenset) else v for k, v in vars(settings).items()}


def leaked() -> dict[str, Any]:
    """Names of the policies' module that are in Airflow's own settings."""
    import airflow.settings

    return {"names": [n for n in ("Settings", "MAX_DAG_ID", "check_package") if hasattr(airflow.settings, n)]}


def _bag(root: str) -> BundleDagBag:
    return BundleDagBag(root, bundle_path=Path(root), bundle_name="dags-folder")


def answer(line: str, output: int) -> None:
    """Answer a question in this process and end it."""
    importlib.invalidate_caches()  # what is in the folders was put there since the program began
    question = json.loads(line)
    try:
        result = globals()[question.pop("ask")](**question)
    except BaseException:
        result = {"crash": traceback.format_exc()}
    with os.fdopen(output, "w") as stream:
        stream.write(json.dumps(result, default=str) + "\n")
    os._exit(0)


def main() -> None:
    """Answer till the input ends."""
    output = int(sys.argv[1])
    for module in sys.argv[2:]:  # once here, not in each fork
        importlib.import_module(module)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            answer(line, output)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
