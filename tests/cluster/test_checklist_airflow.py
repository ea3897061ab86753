"""The checklist's verdicts on what Airflow answers, and how it gets there; the real one is asked in test_checklist.py."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from scripts.manage.layers.environments import NAMESPACE
from tests.checklist import airflow_api, reach
from tests.checklist import test_checklist as items
from tests.checklist.options import Settings
from tests.checklist.run import Run, ended
from tests.checklist.verdict import Open, Wrong

SETTINGS = Settings("", NAMESPACE, "etl-jobs", "velero", "", ("load",), "load", "next", "app.configuration", False, 0)
RUN = {
    "dag_run_id": "manual",
    "state": "success",
    "start_date": "2026-11-21T10:00:00Z",
    "end_date": "2026-11-21T11:00:00Z",
}


class Pages:
    """An Airflow of fixed answers, by path below /api/v2; one that is not there is 404. `asked`: method and path of each."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {"monitor/health": {name: {"status": "healthy"} for name in airflow_api.COMPONENTS}} | answers
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url}")
        path = request.url.path.removeprefix("/api/v2/")
        answer = self.answers.get(path, 200 if path == "/" else 404)
        return httpx.Response(answer) if isinstance(answer, int) else httpx.Response(200, json=answer)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pages]:
    """Have these answers everywhere."""

    def serve(**answers: Any) -> Pages:
        pages = Pages(**answers)
        monkeypatch.setattr(
            airflow_api, "client", lambda url: httpx.Client(base_url=url, transport=httpx.MockTransport(pages))
        )
        return pages

    return serve


class Objects:
    """A cluster of fixed lists, by kind."""

    def __init__(self, **lists: list[Any]) -> None:
        self.lists = lists

    def objects(self, plural: str, *_: str, **__: str) -> list[Any] | None:
        return self.lists.get(plural)

    def secret(self, *_: str) -> None:
        return None

    def forward(self, *_: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(["echo", "error: no such pod"], stdout=subprocess.PIPE, text=True)


def task(task_id: str, state: str = "success", operator: str = "@task") -> dict[str, Any]:
    return {
        "task_id": task_id,
        "map_index": -1,
        "state": state,
        "operator_name": operator,
        "start_date": None,
        "try_number": 1,
    }


def a_run(
    served: Callable[..., Pages], tasks: list[Any], rows: list[Any], state: str = "success", **answers: Any
) -> Run:
    """With XComs and task instances; `answers` begin at a task."""
    base = "dags/load/dagRuns/manual/taskInstances"
    entries = [{"task_id": "read", "key": "return_value", "map_index": -1}] if rows else []
    served(
        **{
            base: {"task_instances": tasks, "total_entries": len(tasks)},
            f"{base}/~/xcomEntries": {"xcom_entries": entries, "total_entries": len(entries)},
            f"{base}/read/xcomEntries/return_value": {"value": rows},
        },
        **{f"{base}/{path}": answer for path, answer in answers.items()},
    )
    return Run(airflow_api.AirflowApi("http://airflow", token="t"), SETTINGS, RUN | {"state": state})


def test_the_table_may_be_named_by_what_ran(served: Callable[..., Pages]) -> None:
    rendered = {"rendered_fields": {"sql": "SELECT * FROM app.configuration"}}
    run = a_run(served, [task("before"), task("read")], [], read=rendered)
    assert run.configuration() == "run of 2026-11-21 10:00:00, task read: what ran names app.configuration"


def test_without_the_table_s_name_an_operator_is_told_the_query_and_a_failed_run_is_wrong(
    served: Callable[..., Pages],
) -> None:
    with pytest.raises(Open, match=r"psql .*SELECT \* FROM app.configuration WHERE dag_name = 'load'"):
        a_run(served, [task("read")], []).configuration()
    failed = a_run(
        served, [task("read", "failed")], [], "failed", **{"read/logs/1": {"content": "app.configuration is missing"}}
    )
    for check in (failed.configuration, lambda: failed.resources(Objects())):  # type: ignore[arg-type]
        with pytest.raises(Wrong, match="run manual failed in read; its logs: http://airflow/dags/load/runs/manual"):
            check()


def job_pod(cpu: str, memory: str, hour: str = "10") -> dict[str, Any]:
    base = {"name": "base", "resources": {"requests": {"cpu": cpu, "memory": memory}}}
    return {
        "metadata": {"name": "us", "creationTimestamp": f"2026-11-21T{hour}:30:00Z"},
        "spec": {"containers": [{"name": "airflow-xcom-sidecar"}, base]},
    }


def test_pods_ask_for_what_a_row_says_in_whatever_unit(served: Callable[..., Pages]) -> None:
    run = a_run(served, [], [{"cpu_request": "500m", "memory_request": "1Gi"}, {"batch_size": 500}])
    kube: Any = Objects(pods=[job_pod("0.5", "1024Mi"), job_pod("9", "9Gi", hour="09")])
    assert "us cpu 0.5 memory 1024Mi, as in the table" in run.resources(kube)
    with pytest.raises(Wrong, match=r"pod us asks for cpu 100m memory 1Gi, as no row .* \(cpu 500m memory 1Gi\)"):
        run.resources(Objects(pods=[job_pod("100m", "1Gi")]))  # type: ignore[arg-type]


def test_pods_without_rows_and_rows_without_pods_are_open(served: Callable[..., Pages]) -> None:
    with pytest.raises(Open, match="asked for: us cpu 500m memory 1Gi; to compare with: kubectl exec"):
        a_run(served, [], []).resources(Objects(pods=[job_pod("500m", "1Gi")]))  # type: ignore[arg-type]
    with pytest.raises(Open, match="no pod in etl-jobs has the label dag_id=load"):
        a_run(served, [task("read")], [{"cpu_request": "1", "memory_request": "1"}]).resources(Objects())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("by", "source", "xcom", "says"),
    [
        ("operator", "", "n", "triggered by a task of the run of"),
        ("operator", "", "of another run", None),
        ("asset", "manual", "", "triggered by an asset of the run of"),
        ("asset", "another", "", None),
        ("ui", "manual", "", None),
    ],
)
def test_a_run_follows_when_a_task_or_an_asset_of_this_run_triggered_it(
    served: Callable[..., Pages], by: str, source: str, xcom: str, says: str | None
) -> None:
    run = a_run(served, [], [])
    following = {"dag_id": "next", "dag_run_id": "n", "triggered_by": by}
    entry = {"task_id": "trigger", "key": "trigger_run_id", "map_index": -1}
    served(
        **{
            "dags/next/dagRuns": {"dag_runs": [following], "total_entries": 1},
            "dags/next/dagRuns/n/upstreamAssetEvents": {"asset_events": [{"source_run_id": source}]},
            "dags/load/dagRuns/manual/taskInstances/~/xcomEntries": {"xcom_entries": [entry], "total_entries": 1},
            "dags/load/dagRuns/manual/taskInstances/trigger/xcomEntries/trigger_run_id": {"value": xcom},
        }
    )
    run.api.http = airflow_api.client("http://airflow")
    follower = run.follower()
    assert bool(follower) == bool(says)
    assert (says or "") in (follower or "")


def test_what_airflow_refuses_is_open_and_what_it_cannot_is_wrong(served: Callable[..., Pages]) -> None:
    served(**{"dags/load": 403, "dags/next": 500})
    api = airflow_api.AirflowApi("http://airflow", token="t")
    with pytest.raises(Open, match="user may not GET dags/load"):
        api.get("dags/load")
    with pytest.raises(Wrong, match="Airflow answers 500"):
        api.get("dags/next")
    with pytest.raises(Open, match="no run of load has ended yet"):
        ended(api, SETTINGS)


@pytest.mark.parametrize(
    ("answer", "says"),
    [(308, "answers 308"), (503, "answers 503"), ([], "not as Airflow 3"), ({"status": "ok"}, "not as Airflow 3")],
)
def test_a_page_that_is_no_airflow_is_wrong(served: Callable[..., Pages], answer: Any, says: str) -> None:
    served(**{"monitor/health": answer})
    with pytest.raises(Wrong, match=says):
        airflow_api.health("http://airflow")
    served(**{"/": answer})
    if isinstance(answer, int):
        with pytest.raises(Wrong, match=says):
            airflow_api.health("http://airflow")


def test_lists_are_read_to_their_end(served: Callable[..., Pages], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(airflow_api, "PAGE", 2)
    pages = served(dags={"dags": [{}, {}], "total_entries": 4})
    assert len(list(airflow_api.AirflowApi("http://airflow", token="t").all("dags", "dags"))) == 4
    assert [asked.partition("?")[2] for asked in pages.asked] == ["limit=2&offset=0", "limit=2&offset=2"]


def ingress(host: str, service: str = "api", tls: bool = True) -> dict[str, Any]:
    path = {"path": "/", "backend": {"service": {"name": service}}}
    spec: dict[str, Any] = {"rules": [{"host": host, "http": {"paths": [path]}}]}
    return {"metadata": {"name": "i"}, "spec": spec | ({"tls": [{"hosts": [host]}]} if tls else {})}


SERVICES = [{"metadata": {"name": "api"}, "spec": {"ports": [{"port": 8080}]}}]


def test_the_address_is_that_of_the_ingress_that_leads_to_airflow() -> None:
    kube: Any = Objects(services=SERVICES, ingresses=[ingress("other.example.org", "flower"), ingress("a.example.org")])
    assert reach.ui(kube, SETTINGS) == reach.Address("https://a.example.org", "Ingress i")
    assert reach.ui(Objects(services=SERVICES), SETTINGS) is None  # type: ignore[arg-type]


def test_no_password_goes_to_an_ingress_in_clear(served: Callable[..., Pages]) -> None:
    pages = served()
    kube: Any = Objects(services=SERVICES, ingresses=[ingress("a.example.org", tls=False)])
    with pytest.raises(Open, match="kubectl port-forward: no such pod"), reach.signed_in(kube, SETTINGS, {}):
        pass
    assert not pages.asked
    kube = Objects(services=SERVICES, ingresses=[ingress("a.example.org")])
    with pytest.raises(Open, match="no secret airflow-admin with username"), reach.signed_in(kube, SETTINGS, {}):
        pass
    with reach.signed_in(kube, SETTINGS, {"AIRFLOW_TOKEN": "t"}) as api:
        assert api.http.headers["Authorization"] == "Bearer t"
    assert {asked.split()[0] for asked in pages.asked} == {"GET"}


# --- items that a healthy Airflow does not show -------------------------------------------------------------------


def fail(says: str) -> None:
    raise AssertionError(f"taken for ok: {says}")


def test_a_stale_dag_is_not_visible_and_import_errors_are_named(served: Callable[..., Pages]) -> None:
    pages = served(
        dags={"dags": [{"dag_id": "load", "is_stale": True}], "total_entries": 1},
        importErrors={"import_errors": [{"filename": "load.py"}], "total_entries": 1},
    )
    with pytest.raises(Wrong, match=r"not in Airflow, or stale: load; import errors in load\.py: kubectl logs"):
        items.test_visible(airflow_api.AirflowApi("http://airflow", token="t"), SETTINGS, fail)
    assert "exclude_stale=false" in pages.asked[0], "else such a DAG is not in the list at all"


@pytest.mark.parametrize(
    ("state", "may_trigger", "says"),
    [("failed", False, "run manual failed"), ("failed", True, "run manual failed"), ("queued", True, "is queued since 0 s")],
)  # fmt: skip
def test_a_run_that_failed_or_does_not_start_is_wrong(
    served: Callable[..., Pages], state: str, may_trigger: bool, says: str
) -> None:
    runs = {"dag_runs": [RUN], "total_entries": 1, "dag_run_id": "manual"}
    manual = {"dags/load/dagRuns/manual": RUN | {"state": state}}
    served(**{"dags/load/dagRuns": runs, "dags/load/dagRuns/manual/taskInstances": {"task_instances": [], "total_entries": 0}}, **manual)  # fmt: skip
    with pytest.raises(Wrong, match=says):
        settings = replace(SETTINGS, may_trigger=may_trigger)
        items.test_triggered(airflow_api.AirflowApi("http://airflow", token="t"), settings, fail)


def test_a_dag_that_stays_paused_is_wrong(served: Callable[..., Pages]) -> None:
    pages = served(**{"dags/load": {"is_paused": True}})
    with pytest.raises(Wrong, match="is paused still"):
        items.test_unpaused(
            airflow_api.AirflowApi("http://airflow", token="t"), replace(SETTINGS, may_trigger=True), fail
        )
    assert [asked.split()[0] for asked in pages.asked] == ["GET", "PATCH", "GET"]


def test_a_ui_whose_parts_are_ill_is_wrong_and_one_without_an_address_is_open(served: Callable[..., Pages]) -> None:
    parts = {name: {"status": "healthy"} for name in airflow_api.COMPONENTS}
    served(**{"monitor/health": parts | {"triggerer": {"status": None}}})
    kube: Any = Objects()
    with pytest.raises(Wrong, match="answers 200, with triggerer unknown"):
        items.test_ui(kube, reach.Address("http://airflow", "--airflow-url"), SETTINGS, fail)
    with pytest.raises(Open, match="ARGS=--airflow-url=URL"):
        items.test_ui(kube, None, SETTINGS, fail)
