"""Airflow's REST API, version 3 and on: signs in once, reads, and changes only where a caller says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

from tests.checklist.verdict import Open, Wrong

PAGE = 100
TIMEOUT = 30  # seconds; a Pi's API server takes its time
COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
SIGN_IN = "set AIRFLOW_USERNAME and AIRFLOW_PASSWORD, or AIRFLOW_TOKEN; docs/how-to/from-the-incident.md, step 7"


def client(url: str) -> httpx.Client:
    """For an address of Airflow. A proxy of the environment is not asked for this machine's own."""
    return httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=not url.startswith("http://127.0.0.1"))


def health(url: str) -> dict[str, str]:
    """What Airflow says of its parts to anybody. Raises Wrong when there is no UI, or it is not Airflow 3's."""
    try:
        with client(url) as http:
            answer = http.get("api/v2/monitor/health").raise_for_status()
            http.get("", follow_redirects=True).raise_for_status()
            parts: dict[str, Any] = answer.json()
            return {name: (parts[name] or {}).get("status") or "unknown" for name in COMPONENTS}
    except httpx.HTTPStatusError as error:
        to = error.response.headers.get("location")
        raise Wrong(f"{error.request.url} answers {error.response.status_code}{f' to {to}' if to else ''}") from None
    except httpx.HTTPError as error:
        raise Wrong(f"{url} does not answer: {error or type(error).__name__}") from None
    except (ValueError, AttributeError, TypeError, KeyError):
        raise Wrong(f"{url} answers, but not as Airflow 3") from None


class AirflowApi:
    """A signed-in client.

    Args:
        url: of the UI.
        token: of Airflow; None: `username` and `password` get one.
    """

    def __init__(self, url: str, username: str = "", password: str = "", token: str | None = None) -> None:
        self.url = url
        self.http = client(url)
        self.http.headers["Authorization"] = f"Bearer {token or self._sign_in(username, password)}"

    def get(self, path: str, **parameters: Any) -> Any:
        """A document below /api/v2; None when there is none. Raises Open, Wrong."""
        return self._ask("GET", path, params=parameters)

    def all(self, path: str, key: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """The items of a list, page by page. Raises Open, Wrong."""
        seen = 0
        while page := self.get(path, limit=PAGE, offset=seen, **parameters):
            yield from page[key]
            seen += len(page[key])
            if seen >= page["total_entries"] or not page[key]:
                return

    def listed(self, dag_id: str) -> dict[str, Any] | None:
        """A DAG as the list has it, serialized or not. Raises Open, Wrong."""
        similar = self.all("dags", "dags", dag_id_pattern=dag_id, exclude_stale=False)
        return next((dag for dag in similar if dag["dag_id"] == dag_id), None)

    def unpause(self, dag_id: str) -> None:
        """Changes Airflow. Raises Open, Wrong."""
        self._ask("PATCH", f"dags/{dag_id}", params={"update_mask": "is_paused"}, json={"is_paused": False})

    def trigger(self, dag_id: str) -> str:
        """Changes Airflow: a run starts. Returns its id. Raises Open, Wrong."""
        run = self._ask("POST", f"dags/{dag_id}/dagRuns", json={"logical_date": None, "note": "make verify-cluster"})
        if run is None:
            raise Wrong(f"{dag_id} is not in Airflow")
        return str(run["dag_run_id"])

    def _sign_in(self, username: str, password: str) -> str:
        answer = self._send("POST", "auth/token", json={"username": username, "password": password})
        if not answer.is_success:
            raise Open(f"Airflow at {self.url} refuses user {username} ({answer.status_code}): {SIGN_IN}")
        return str(answer.json()["access_token"])

    def _ask(self, method: str, path: str, **request: Any) -> Any:
        answer = self._send(method, f"api/v2/{path}", **request)
        if answer.status_code == 404:
            return None
        if answer.status_code in (401, 403):
            raise Open(f"Airflow's user may not {method} {path} ({answer.status_code}): {SIGN_IN}")
        if not answer.is_success:
            raise Wrong(f"Airflow answers {answer.status_code} to {method} {path}: {answer.text[:300]}")
        return answer.json()

    def _send(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            return self.http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise Wrong(f"Airflow at {self.url} stopped answering: {error or type(error).__name__}") from None
