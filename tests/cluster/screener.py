"""The Pi cluster's application: a real Airflow beside the control plane, with its three DAGs, its table, and pods that end.

The nodes run no containers, so Airflow runs as processes here; the pods that its tasks start are the cluster's.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from kubernetes import client, config

from scripts.local.airflow import Airflow, policy_modules
from scripts.local.cluster.cluster import JOBS, Cluster
from scripts.local.ports import free_port
from scripts.manage.layers.environments import NAMESPACE

DAGS = Path(__file__).with_name("financial_screener")
ROWS = [("us_markets", "500m", "1Gi"), ("lse", "250m", "512Mi")]  # of the assessment, section 6, and one more
COMPONENTS = (("dag-processor",), ("scheduler", "--skip-serve-logs"), ("triggerer", "--skip-serve-logs"))


@dataclass(frozen=True)
class Screener:
    """A migrated Airflow; `running` starts the rest.

    Args:
        home: its folder.
        password: of its user admin.
    """

    home: Path
    password: str
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Of the UI."""
        return f"http://127.0.0.1:{self.port}"

    def airflow(self) -> Airflow:
        """Its installation."""
        passwords = self.home / "passwords.json"
        settings = {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API_AUTH__JWT_SECRET": "0" * 64,
            "AIRFLOW__API__SECRET_KEY": "0" * 64,
            "APPDB": str(self.home / "appdb.db"),
        }
        airflow = Airflow(self.home, self.home / "dags", settings=settings)
        passwords.write_text(json.dumps({"admin": self.password}))
        return airflow

    @contextmanager
    def running(self, airflow: Airflow, cluster: Cluster) -> Iterator[Airflow]:
        """With the cluster policies as deployed there, until all of it is healthy. Raises TimeoutError."""
        airflow.environment["KUBECONFIG"] = str(cluster.kubeconfig)
        self._install(airflow, cluster)
        with ExitStack() as stack:
            address = ("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1")
            for component in (("api-server", *address), *COMPONENTS):
                stack.enter_context(airflow.running(*component))
            stack.enter_context(_pods_end(cluster))
            airflow.wait(lambda dags: len(dags) == 3 and self._healthy(), "three DAGs and a healthy Airflow", 120)
            yield airflow

    def _install(self, airflow: Airflow, cluster: Cluster) -> None:
        shutil.copytree(DAGS, airflow.dags, dirs_exist_ok=True)
        code = json.loads(
            cluster.kubectl("get", "configmap", "airflow-platform-code", "--namespace", NAMESPACE, "--output=json")
        )
        (self.home / "config").mkdir(exist_ok=True)
        for name in (*policy_modules(), "policy.json"):
            (self.home / "config" / name).write_text(code["data"][name])
        with sqlite3.connect(self.home / "appdb.db") as appdb:
            appdb.execute("CREATE TABLE dag_configuration (dag_name, job_name, cpu_request, memory_request)")
            appdb.executemany("INSERT INTO dag_configuration VALUES ('historical_load_equities', ?, ?, ?)", ROWS)

    def _healthy(self) -> bool:
        try:
            parts = httpx.get(f"{self.url}/api/v2/monitor/health").json().values()
        except httpx.HTTPError:
            return False
        return all(part["status"] == "healthy" for part in parts)


@contextmanager
def _pods_end(cluster: Cluster) -> Iterator[None]:
    """Pods of tasks succeed as soon as they run."""
    api = client.CoreV1Api(config.new_client_from_config(str(cluster.kubeconfig)))
    over = threading.Event()

    def end() -> None:
        while not over.wait(0.5):
            for pod in api.list_namespaced_pod(JOBS, field_selector="status.phase=Running").items:
                status = {"name": pod.spec.containers[0].name, "image": "loader", "imageID": "", "restartCount": 0, "ready": False,
                          "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}  # fmt: skip
                body = {"status": {"phase": "Succeeded", "containerStatuses": [status]}}
                api.patch_namespaced_pod_status(pod.metadata.name, JOBS, body)

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    yield
    over.set()
    thread.join()
