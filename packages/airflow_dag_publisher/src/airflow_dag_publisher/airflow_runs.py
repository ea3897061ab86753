"""Which runs still need which version of a package: a small client of Airflow's REST API."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from .errors import Exit, Failure

URL, TOKEN = "AIRFLOW_PLATFORM_AIRFLOW_URL", "AIRFLOW_PLATFORM_AIRFLOW_TOKEN"
PAGE = 100
TIMEOUT = 30.0  # seconds for one answer


@dataclass(frozen=True)
class Run:
    """A run that has not ended."""

    dag_id: str
    run_id: str
    state: str


Runs = Mapping[str, list[Run]]
"""By the version that they began with."""


def airflow_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where Airflow is."""
    command = click.option(
        "--airflow-token",
        envvar=TOKEN,
        show_envvar=True,
        help="Of Airflow's API; better in the variable than in a command line.",
    )(command)
    return click.option(
        "--airflow-url", envvar=URL, show_envvar=True, help="Of Airflow: says which runs need which version."
    )(command)


def unfinished_runs(url: str, token: str | None, package: str) -> Runs:
    """Return the runs of a package's bundle that are queued or running.

    Args:
        url: of Airflow, like `https://airflow.example.org`.
        token: of its API; none where it asks for none.
        package: the bundle.

    Raises:
        Failure: it did not answer, or refused.
    """
    import httpx  # here: most commands talk to S3 alone

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    found: dict[str, list[Run]] = defaultdict(list)
    try:
        with httpx.Client(base_url=f"{url.rstrip('/')}/api/v2", headers=headers, timeout=TIMEOUT) as client:
            for offset in range(0, 1_000_000, PAGE):
                page = _page(client, offset)
                for run in page:
                    if any(version.get("bundle_name") == package for version in run.get("dag_versions", [])):
                        one = Run(str(run["dag_id"]), str(run["dag_run_id"]), str(run["state"]))
                        found[run.get("bundle_version") or ""].append(one)
                if len(page) < PAGE:
                    break
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Failure(
            f"Airflow at {url} cannot be asked which runs need which version: {error}", Exit.NO_ANSWER
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Failure(f"what answers at {url} is no Airflow 3: give the address of its UI", Exit.NO_ANSWER) from None
    return found


def _page(client: Any, offset: int) -> list[dict[str, Any]]:
    asked = {"states": ["queued", "running"], "page_limit": PAGE, "page_offset": offset, "order_by": "id"}
    answer = client.post("/dags/~/dagRuns/list", json=asked)
    if answer.status_code in (401, 403):
        raise Failure(f"Airflow refuses ({answer.status_code}): set {TOKEN} to a token that may read runs", Exit.DENIED)
    answer.raise_for_status()
    runs: list[dict[str, Any]] = answer.json()["dag_runs"]
    return runs


def in_words(runs: list[Run]) -> str:
    """How many, and the first of them, for people."""
    if not runs:
        return ""
    first = f"{runs[0].dag_id} {runs[0].run_id}"
    return first if len(runs) == 1 else f"{len(runs)} runs, like {first}"
