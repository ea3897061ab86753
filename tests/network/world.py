"""The programs from a publish to Airflow, in whatever network they are started in."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from scripts.local.airflow import FILES, Airflow, stop
from scripts.local.s3_servers import in_url

BUCKET, KEY = "packages", "dev/sales/dags/report.py"
DAG = """
from airflow.sdk import DAG, task
with DAG("sales_report", description="{text}", tags=["t"], default_args={{"owner": "t"}}):
    @task
    def look():
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook
        from pathlib import Path
        Path("{seen}").write_text(" ".join(S3Hook("aws_default").list_keys("packages", "pointers/")))
    look()
"""


class World:
    """dag-sync, dag-adopter, a publisher and Airflow.

    Args:
        folder: for all that they write.
        env: variables that say where the store is, and how it is reached.
        prefix: of each command, such as one that enters a namespace.
    """

    def __init__(self, folder: Path, env: dict[str, str], prefix: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder), **env, "DAG_SYNC_BUCKET": BUCKET, "DAG_SYNC_ENVIRONMENT": "dev",
                    "AIRFLOW_PLATFORM_BUCKET": BUCKET, "AIRFLOW_PLATFORM_ENV": "dev"}  # fmt: skip
        self.prefix = prefix
        self.seen = folder / "seen"
        self.stack = ExitStack()
        self.airflow = Airflow(
            folder / "airflow",
            folder / "airflow" / "dags",
            settings={**env, "AIRFLOW_CONN_AWS_DEFAULT": "aws://"},
            prefix=prefix,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.close()

    def begin(self, *sync: str, adopter: tuple[str, ...] = ()) -> None:
        """Start what runs all the time. `sync`, `adopter`: more options of dag-sync and of dag-adopter."""
        self.airflow.migrate()
        self.start("dag_sync.py", "--root", str(self.folder / "store"), "--link", str(self.airflow.dags), *sync)
        self.start("dag_adopter.py", "--period", "1", *adopter)
        self.stack.enter_context(self.airflow.running("dag-processor"))

    def start(self, program: str, *words: str) -> None:
        """Start one of our programs."""
        log = self.stack.enter_context((self.folder / f"{program}.log").open("wb"))
        command = [*self.prefix, sys.executable, str(FILES / program), *words]
        started = subprocess.Popen(command, env=self.env, stdout=log, stderr=log, start_new_session=True)
        self.stack.callback(stop, started)

    def publish(self, text: str) -> None:
        """As an author's job does."""
        dags = self.folder / "dags"
        dags.mkdir(exist_ok=True)
        (dags / "report.py").write_text(self.dag(text))
        words = ("publish", "--package-name", "sales", "--dags-dir", str(dags), "--no-validate")
        subprocess.run([*self.prefix, sys.executable, "-m", "airflow_dag_publisher", *words], env=self.env, check=True)

    def dag(self, text: str) -> str:
        """A DAG that shows `text`, and whose task looks into the bucket."""
        return DAG.format(text=text, seen=self.seen)

    def shows(self, text: str) -> None:
        """Wait until Airflow does."""
        try:
            self.airflow.wait(lambda dags: "sales_report" in dags and dags["sales_report"].shows(text), text)
        except TimeoutError as error:
            logs = "".join(log.read_text()[-1500:] for log in self.folder.glob("*.log"))
            raise TimeoutError(f"{error}\n{logs}") from None

    def run_task(self) -> str:
        """Run the DAG; what its task saw."""
        done = self.airflow.run("dags", "test", "sales_report")
        return self.seen.read_text() if self.seen.exists() else done.stdout[-2000:] + done.stderr[-2000:]


def answers(host: str, port: int, path: str) -> str:
    """What is served there, or nothing."""
    try:
        with urllib.request.urlopen(f"http://{in_url(host)}:{port}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except OSError:
        return ""
