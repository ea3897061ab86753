"""A real Airflow with the policies where the cluster has them, and folders of DAGs to read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pytest

from scripts.local.airflow import Airflow, install_policies

from .mail_server import MailServer

FILES = Path(__file__).parents[2] / "charts" / "airflow-platform" / "files"
POLICY: dict[str, Any] = {
    "default_package": None,
    "dag_ids": ["data_collection"],
    "jobs_namespace": "etl-jobs",
    "packages": ["sales", "finance", "team", "team_a", "sales_eu2"],
    "on_failure": [],
}

NO_EXAMPLES = {"AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
PROVIDER = [f"airflow.providers.cncf.kubernetes.{m}" for m in ("operators.job", "executors.kubernetes_executor_utils")]


@dataclass
class Policies:
    """An Airflow that has loaded the policies, and the folder that it reads DAGs from."""

    airflow: Airflow
    process: subprocess.Popen[str]
    answers: TextIO

    def ask(self, question: str, **more: Any) -> Any:
        """Have a function of `inside.py` called."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"ask": question, **more}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.answers.readline())
        assert "crash" not in answer, answer["crash"]
        return answer

    def say(self, **changes: Any) -> None:
        """Write policy.json, as shipped but for `changes`."""
        self.file.write_text(json.dumps(POLICY | changes))

    @property
    def file(self) -> Path:
        return self.airflow.home / "config" / "policy.json"

    def emptied(self) -> Policies:
        """Itself, as it was at the start. The folders stay: a program that looks while one is away calls it missing for ever."""
        self.say()
        for folder in (self.airflow.dags, self.lib):
            for entry in folder.iterdir():
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
        return self

    @property
    def lib(self) -> Path:
        """Modules there can be imported."""
        return self.airflow.home / "lib"


def install(home: Path, **changes: Any) -> None:
    """Put into `home` what the chart mounts at /opt/airflow/config; `changes`: of policy.json."""
    for folder in ("config", "lib"):
        (home / folder).mkdir(parents=True)
    install_policies(home / "config")
    (home / "config" / "policy.json").write_text(json.dumps(POLICY | changes))


@contextmanager
def start(home: Path, *modules: str, settings: Mapping[str, str] | None = None) -> Iterator[Policies]:
    """An Airflow in `home` that has loaded the policies, and `modules`. `settings`: variables beside its own."""
    install(home)
    bundles = [
        {"name": n, "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {"path": f"{home}/{p}"}}
        for n, p in (("dags-folder", "dags"), ("elsewhere", "bundles/git/versions/0a1b2c/src/dags"))
    ]  # fmt: skip
    own = {"AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles), "PYTHONPATH": f"{home}/lib"}
    airflow = Airflow(home, home / "dags", settings=NO_EXAMPLES | own | dict(settings or {}))
    answers, output = os.pipe()  # Airflow logs to its own output
    command = [sys.executable, str(Path(__file__).with_name("inside.py")), str(output), *modules]
    with (home / "inside.log").open("w") as log:
        process = subprocess.Popen(
            command,
            env=airflow.environment,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            text=True,
            pass_fds=[output],
        )
    os.close(output)
    with os.fdopen(answers) as stream:
        yield Policies(airflow, process, stream)
    assert process.stdin
    process.stdin.close()
    process.wait(timeout=120)


@pytest.fixture(scope="session")
def _policies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Policies]:
    with start(tmp_path_factory.mktemp("policies")) as policies:
        yield policies


@pytest.fixture(scope="session")
def _pod_policies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Policies]:
    with start(tmp_path_factory.mktemp("pods"), *PROVIDER) as policies:
        yield policies


@pytest.fixture
def policies(_policies: Policies) -> Policies:
    """An Airflow with policy.json as it was and no DAGs."""
    return _policies.emptied()


@pytest.fixture
def pod_policies(_pod_policies: Policies) -> Policies:
    """The same, with the provider loaded before: that takes a second."""
    return _pod_policies.emptied()


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    with MailServer() as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield server
        server.shutdown()


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Write files below `root`. Return it."""
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def dag(dag_id: str, body: str = 'EmptyOperator(task_id="one")', **arguments: Any) -> str:
    """A DAG file. Its owner and tags are in order unless `arguments` say otherwise; None leaves one out."""
    given = {"default_args": {"owner": "us"}, "tags": ["t"]} | arguments
    shown = ", ".join(f"{k}={v!r}" for k, v in given.items() if v is not None)
    return f"""from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, task
with DAG({dag_id!r}, {shown}):
{textwrap.indent(textwrap.dedent(body).strip(), "    ")}
"""


@pytest.fixture
def parse(policies: Policies) -> Callable[[Mapping[str, str]], dict[str, Any]]:
    """Write files into the DAGs folder and read it."""
    return lambda files: policies.ask("parse", root=str(write(policies.airflow.dags, files)))
