"""A whole Airflow on loopback: api-server, scheduler with LocalExecutor, dag-processor; runs are made and read by its REST API."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from scripts.local.airflow import AIRFLOW, Airflow
from scripts.local.ports import free_port
from scripts.local.waiting import wait_for

ENDED = ("success", "failed")


class WholeAirflow:
    """An installation whose components can be started together.

    Args:
        home: its folder, made if it is not there.
        dags: the DAGs folder.
        database_url: a PostgreSQL database; None: SQLite in `home`.
        settings: variables on top of the shipped ones.
        program: `airflow` of another installation than this environment's.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        database_url: str | None = None,
        settings: Mapping[str, str] | None = None,
        program: Path = AIRFLOW,
    ) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        alone = {
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API_AUTH__JWT_SECRET": "of-the-tests" * 6,
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        }
        self.airflow = Airflow(home, dags, database_url, {**alone, **(settings or {})}, program=program)
        self._client: httpx.Client | None = None

    @contextmanager
    def running(self, *components: str) -> Iterator[None]:
        """All of it, or what is named, for the length of a `with`."""
        with ExitStack() as stack:
            for component in components or ("api-server", "scheduler", "dag-processor"):
                stack.enter_context(self.airflow.running(component))
            wait_for(self._answers, what="the api-server")
            yield

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/v2/monitor/health", timeout=5).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def api(self, method: str, path: str, **words: Any) -> Any:
        """Ask the REST API. Raises httpx.HTTPStatusError with what it answered."""
        if self._client is None:
            headers = {"Authorization": f"Bearer {self.token()}"}
            self._client = httpx.Client(base_url=f"{self.url}/api/v2", headers=headers, timeout=60)
        answer = self._client.request(method, path, **words)
        if answer.is_error:
            raise httpx.HTTPStatusError(f"{answer.status_code}: {answer.text}", request=answer.request, response=answer)
        return answer.json() if answer.content else None

    def token(self) -> str:
        """An administrator's."""
        return str(httpx.get(f"{self.url}/auth/token", timeout=30).json()["access_token"])

    def trigger(self, dag_id: str, run_id: str) -> None:
        """Make a run."""
        self.api("POST", f"/dags/{dag_id}/dagRuns", json={"dag_run_id": run_id, "logical_date": None})

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """A run, as the API shows it."""
        found: dict[str, Any] = self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}")
        return found

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run."""
        found: list[dict[str, Any]] = self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")[
            "task_instances"
        ]
        return found

    def end(self, dag_id: str, run_id: str, seconds: float = 300) -> str:
        """Wait until a run has ended; its state. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while (state := self.run(dag_id, run_id)["state"]) not in ENDED:
            if time.monotonic() > deadline:
                tasks = {task["task_id"]: task["state"] for task in self.tasks(dag_id, run_id)}
                raise TimeoutError(f"{run_id} of {dag_id} is {state} after {seconds:g} s: {tasks}")
            time.sleep(0.2)
        return str(state)

    def log(self, dag_id: str, run_id: str, task_id: str, attempt: int = 1) -> str:
        """What a task wrote, as the UI shows it."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{attempt}"
        return str(self.api("GET", path, params={"full_content": "true"}))
