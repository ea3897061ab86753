"""Everything from a publish to Airflow, in a network namespace that has nothing but the loopback address of its first argument.

Prints what was seen as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scripts.local import s3_servers
from scripts.local.airflow import FILES, Airflow, stop
from scripts.local.ports import free_port
from scripts.local.s3_servers import in_url
from scripts.local.waiting import wait_for

DAG = """
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
with DAG("sales_report", description="{0}", tags=["t"], default_args={{"owner": "t"}}):
    EmptyOperator(task_id="one")
"""


def answers(host: str, port: int, path: str) -> str:
    """What is served there, or nothing."""
    try:
        with urllib.request.urlopen(f"http://{in_url(host)}:{port}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""


def see(host: str, folder: Path) -> dict[str, Any]:
    """Publish, edit by hand, and look at what Airflow and the ports say."""
    with ExitStack() as stack:
        server = stack.enter_context(s3_servers.running("moto", folder / "s3", host))
        bucket = server.bucket("packages")
        sync_port, adopter_port, api_port = (free_port(host) for _ in range(3))
        env = {**os.environ, **server.environment, "DAG_SYNC_BUCKET": "packages", "DAG_SYNC_ENVIRONMENT": "dev",
               "AIRFLOW_PLATFORM_BUCKET": "packages", "AIRFLOW_PLATFORM_ENV": "dev"}  # fmt: skip

        def start(*words: str) -> None:
            log = stack.enter_context((folder / f"{Path(words[0]).name}.log").open("wb"))
            program = subprocess.Popen(
                [sys.executable, *words], env=env, stdout=log, stderr=log, start_new_session=True
            )
            stack.callback(stop, program)

        def publish(text: str) -> None:
            (folder / "dags").mkdir(exist_ok=True)
            (folder / "dags" / "report.py").write_text(DAG.format(text))
            words = ("publish", "--package-name", "sales", "--dags-dir", str(folder / "dags"), "--no-validate")
            subprocess.run([sys.executable, "-m", "airflow_dag_publisher", *words], env=env, check=True)

        airflow = Airflow(folder / "airflow", folder / "airflow" / "dags")
        airflow.migrate()
        start(
            str(FILES / "dag_sync.py"),
            "--root",
            str(folder / "store"),
            "--link",
            str(airflow.dags),
            "--http-bind",
            f":{sync_port}",
        )
        start(str(FILES / "dag_adopter.py"), "--period", "1", "--http-bind", f":{adopter_port}")
        stack.enter_context(airflow.running("dag-processor"))
        stack.enter_context(airflow.running("api-server", "--port", str(api_port)))
        publish("published")
        airflow.wait(lambda dags: "sales_report" in dags and dags["sales_report"].shows("published"), "published")
        bucket.client.put_object(Bucket="packages", Key="dev/sales/dags/report.py", Body=DAG.format("by hand").encode())
        airflow.wait(lambda dags: dags["sales_report"].shows("by hand"), "by hand")
        wait_for(lambda: answers(host, api_port, "/api/v2/version"), what="the api-server answers")
        address = airflow.run("config", "get-value", "core", "hostname_callable").stdout.strip()
        called = (
            f"import socket; socket.gethostname = lambda: {host!r}; import pod_address; print(pod_address.for_urls())"
        )
        name = subprocess.run(
            [sys.executable, "-c", called], env={"PYTHONPATH": str(FILES)}, capture_output=True, text=True, check=True
        )
        return {
            "sync": "dag_sync_package_version" in answers(host, sync_port, "/metrics"),
            "healthy": answers(host, sync_port, "/healthz"),
            "adopter": "dag_adopter" in answers(host, adopter_port, "/metrics"),
            "api": "version" in answers(host, api_port, "/api/v2/version"),
            "hostname_callable": address,
            "address": name.stdout.strip(),
        }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(see(sys.argv[1], Path(name))))
