"""A run of the load DAG, and what it shows: where its configuration came from, its pods, and who ran after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.checklist.airflow_api import AirflowApi
from tests.checklist.kube import Kube, Object
from tests.checklist.options import Settings
from tests.checklist.verdict import Open, Wrong

READ_AT_MOST = 20  # tasks whose logs are read
COLUMNS = {"cpu_request", "memory_request"}  # of the table
XCOM_SIDECAR = "airflow-xcom-sidecar"


@dataclass(frozen=True)
class Run:
    """A run that has ended.

    Args:
        document: as the API has it.
    """

    api: AirflowApi
    settings: Settings
    document: dict[str, Any]

    @property
    def id(self) -> str:
        """Like manual__2026-11-21T17:24:20+00:00."""
        return str(self.document["dag_run_id"])

    @property
    def name(self) -> str:
        """Short, for the table."""
        return f"run of {self._start[:19].replace('T', ' ')}"

    @cached_property
    def tasks(self) -> list[dict[str, Any]]:
        """Its task instances, in the order in which they started."""
        found = self.api.all(f"{self._path}/taskInstances", "task_instances")
        return sorted(found, key=lambda task: task["start_date"] or "9")

    def failure(self) -> str:
        """What an operator is told of a run that failed."""
        failed = [self._name(task) for task in self.tasks if task["state"] == "failed"]
        where = f" in {', '.join(failed[:3])}" if failed else ""
        url = f"{self.api.url.rstrip('/')}/dags/{self.settings.load_dag}/runs/{self.id}"
        return f"run {self.id} failed{where}; its logs: {url}"

    def configuration(self) -> str:
        """A task that succeeded and named the table in what it ran or logged. Raises Wrong, Open."""
        table = self.settings.config_table
        for task in [task for task in self.tasks if task["state"] == "success"][:READ_AT_MOST]:
            for what, text in (("what ran", self._rendered(task)), ("its log", self._log(task))):
                if table in str(text):
                    rows = [str(row.get("job_name", "unnamed")) for row in self.rows]
                    gave = f", {len(rows)} rows by XCom ({', '.join(rows)})" if rows else ""
                    return f"{self.name}, task {self._name(task)}: {what} names {table}{gave}"
        if self.document["state"] == "failed":
            raise Wrong(self.failure())
        raise Open(f"no task of the {self.name} names {table} in what it ran or logged; what is in it: {self._query()}")

    @cached_property
    def xcoms(self) -> list[Any]:
        """What its tasks handed on; TriggerDagRunOperator: the id of the run that it made."""
        return list(self._xcoms())

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of the table among the XComs: whatever has its columns."""
        return [row for value in self.xcoms for row in _dictionaries(value) if row.keys() >= COLUMNS]

    def resources(self, kube: Kube) -> str:
        """The requests of its pods, each those of a row. Raises Wrong, Open."""
        pods = self._pods(kube) or self._rendered_pods()
        if not pods and self.document["state"] == "failed":
            raise Wrong(self.failure())
        if not pods:
            raise Open(
                f"{self.name}: no pod in {self.settings.jobs_namespace} has the label "
                f"dag_id={self.settings.load_dag}, and no task rendered container_resources"
            )
        told = "; ".join(f"{name} cpu {cpu} memory {memory}" for name, (cpu, memory) in sorted(pods.items()))
        if not self.rows:
            raise Open(f"asked for: {told}; to compare with: {self._query()}")
        known = {_amounts(row["cpu_request"], row["memory_request"]) for row in self.rows}
        for name, (cpu, memory) in sorted(pods.items()):
            if _amounts(cpu, memory) not in known:
                rows = "; ".join(f"cpu {row['cpu_request']} memory {row['memory_request']}" for row in self.rows)
                raise Wrong(
                    f"pod {name} asks for cpu {cpu} memory {memory}, as no row of {self.settings.config_table} "
                    f"({rows}): the task's container_resources have to be the row's"
                )
        return f"{self.name}: {told}, as in the table"

    def follower(self) -> str | None:
        """The first run of the indicators' DAG that this one caused."""
        dag_id = self.settings.indicators_dag
        since = {"run_after_gte": self._start, "order_by": "run_after"}
        for run in self.api.all(f"dags/{dag_id}/dagRuns", "dag_runs", **since):
            if run["dag_run_id"] in self.xcoms:
                return f"run {run['dag_run_id']} of {dag_id}, triggered by a task of the {self.name}"
            if run["triggered_by"] == "asset" and self._by_asset(run):
                return f"run {run['dag_run_id']} of {dag_id}, triggered by an asset of the {self.name}"
        return None

    def _by_asset(self, run: dict[str, Any]) -> bool:
        events = self.api.get(f"dags/{run['dag_id']}/dagRuns/{run['dag_run_id']}/upstreamAssetEvents") or {}
        return any(event["source_run_id"] == self.id for event in events.get("asset_events", []))

    @property
    def _start(self) -> str:
        """One that was marked failed in the queue never started."""
        return str(self.document["start_date"] or self.document["run_after"])

    @property
    def _path(self) -> str:
        return f"dags/{self.settings.load_dag}/dagRuns/{self.id}"

    def _name(self, task: dict[str, Any]) -> str:
        return str(task["task_id"]) + (f"[{task['map_index']}]" if task["map_index"] >= 0 else "")

    def _rendered(self, task: dict[str, Any]) -> dict[str, Any]:
        """The list of task instances leaves it empty."""
        index = f"/{task['map_index']}" if task["map_index"] >= 0 else ""
        found = self.api.get(f"{self._path}/taskInstances/{task['task_id']}{index}") or {}
        return found.get("rendered_fields") or {}

    def _log(self, task: dict[str, Any]) -> Any:
        where = f"{self._path}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
        return self.api.get(where, map_index=task["map_index"])

    def _xcoms(self) -> Iterator[Any]:
        for entry in self.api.all(f"{self._path}/taskInstances/~/xcomEntries", "xcom_entries"):
            where = f"{self._path}/taskInstances/{entry['task_id']}/xcomEntries/{entry['key']}"
            found = self.api.get(where, map_index=entry["map_index"]) or {}
            yield found.get("value")

    def _pods(self, kube: Kube) -> dict[str, tuple[Any, Any]]:
        """Requests of the pods that are still there, by name."""
        found = kube.objects("pods", self.settings.jobs_namespace, dag_id=self.settings.load_dag) or []
        start, end = self._start, self.document["end_date"] or "9"
        ours = [pod for pod in found if start[:19] <= pod["metadata"]["creationTimestamp"][:19] <= end[:19]]
        return {pod["metadata"]["name"]: _requests(_base(pod).get("resources")) for pod in ours}

    def _rendered_pods(self) -> dict[str, tuple[Any, Any]]:
        """The same of pods that are gone, by the name that their task gave them."""
        pods = [task for task in self.tasks if "Kubernetes" in (task["operator_name"] or "")]
        rendered = {self._name(task): self._rendered(task) for task in pods[:READ_AT_MOST]}
        return {
            name: _requests(fields["container_resources"])
            for name, fields in rendered.items()
            if isinstance(fields.get("container_resources"), dict)
        }

    def _query(self) -> str:
        return (
            "kubectl exec postgresql-primary-0 --namespace databases -- psql --dbname=appdb --command="
            f"\"SELECT * FROM {self.settings.config_table} WHERE dag_name = '{self.settings.load_dag}'\""
        )


def newest(api: AirflowApi, settings: Settings, **filters: Any) -> dict[str, Any] | None:
    """The newest run of the load DAG. Raises Open, Wrong."""
    found = api.get(f"dags/{settings.load_dag}/dagRuns", limit=1, order_by="-run_after", **filters)
    return next(iter(found["dag_runs"]), None) if found else None


def ended(api: AirflowApi, settings: Settings) -> Run:
    """The newest that has ended. Raises Open when there is none."""
    run = newest(api, settings, state=["success", "failed"])
    if run is None:
        raise Open(f"no run of {settings.load_dag} has ended yet: make verify-cluster ARGS=--may-trigger starts one")
    return Run(api, settings, run)


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _dictionaries(one)


def _base(pod: Object) -> Object:
    """The container that works."""
    own: list[Object] = [one for one in pod["spec"]["containers"] if one["name"] != XCOM_SIDECAR]
    return own[0]


def _requests(resources: dict[str, Any] | None) -> tuple[Any, Any]:
    asked = (resources or {}).get("requests") or {}
    return asked.get("cpu", "none"), asked.get("memory", "none")


def _amounts(cpu: Any, memory: Any) -> tuple[Any, Any]:
    """Comparable: 0.5 is 500m, 1024Mi is 1Gi."""
    from kubernetes.utils.quantity import parse_quantity  # half a second that most runs do not need

    try:
        return parse_quantity(cpu), parse_quantity(memory)
    except ValueError:
        return cpu, memory
