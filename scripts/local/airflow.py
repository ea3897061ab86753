"""A real Airflow: its database, its dag-processor, and what it shows."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sql
import yaml

from scripts.local.parent import end_with_parent
from scripts.pinned import ROOT

FILES = ROOT / "charts" / "airflow-platform" / "files"
AIRFLOW = Path(sys.executable).with_name("airflow")


@dataclass(frozen=True)
class Dag:
    """A DAG as the database has it: `description` from the `dag` row, `serialized` what the scheduler runs."""

    dag_id: str
    stale: bool
    description: str
    file: str
    serialized: str
    parsed: float  # Unix time of the last parse

    def shows(self, text: str) -> bool:
        """Whether `text` has arrived everywhere: the row is not stale, and both places have it."""
        return not self.stale and text in self.description and bool(self.serialized) and text in self.serialized


def policy_modules() -> list[str]:
    """Names of the Python files that values/base.yaml mounts into Airflow's config folder: the policies and what they import."""
    volumes = yaml.safe_load((ROOT / "values" / "base.yaml").read_text())["volumes"]
    [platform] = (volume["configMap"]["items"] for volume in volumes if volume["name"] == "platform")
    return [item["key"] for item in platform if item["key"].endswith(".py")]


def install_policies(config: Path) -> None:
    """Put them into a config folder, as the pods have them but for `policy.json`."""
    for name in policy_modules():
        shutil.copy(FILES / name, config)


def shipped_settings() -> dict[str, str]:
    """The settings of values/base.yaml, as variables."""
    config = yaml.safe_load((ROOT / "values" / "base.yaml").read_text())["config"]
    return {f"AIRFLOW__{s.upper()}__{k.upper()}": str(v) for s, keys in config.items() for k, v in keys.items()}


class Airflow:
    """An Airflow installation in a folder.

    Args:
        home: its folder, made if it is not there.
        dags: the DAGs folder.
        database_url: a PostgreSQL database; None: SQLite in `home`.
        settings: variables on top of the shipped ones.
        prefix: of each command, such as one that enters a namespace.
        program: `airflow` of another installation than this environment's.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        database_url: str | None = None,
        settings: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        program: Path = AIRFLOW,
    ) -> None:
        self.program = program
        self.prefix = prefix
        self.home = home
        self.dags = dags
        self.url = database_url or f"sqlite:///{home}/airflow.db"
        home.mkdir(parents=True, exist_ok=True)
        dags.mkdir(parents=True, exist_ok=True)
        (home / "config").mkdir(exist_ok=True)  # on Airflow's path, as in the pods
        shutil.copy(FILES / "pod_address.py", home / "config")
        self.environment = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",  # as the chart has it
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.url,
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
            **shipped_settings(),
            **(settings or {}),
        }
        self._engine = sql.create_engine(self.url.replace("postgresql://", "postgresql+psycopg2://"))

    def run(self, *args: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """Run an airflow command to its end."""
        return subprocess.run(
            [*self.prefix, self.program, *args],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def migrate(self) -> None:
        """Make the database. Raises RuntimeError."""
        done = self.run("db", "migrate")
        if done.returncode:
            raise RuntimeError(f"airflow db migrate: {done.stderr[-2000:]}")

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """Start a component in a process group of its own, its output in `<home>/<component>.log`."""
        with (self.home / f"{args[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [*self.prefix, self.program, *args],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    @contextmanager
    def running(self, *args: str) -> Iterator[subprocess.Popen[bytes]]:
        """A component for the length of a `with`."""
        process = self.start(*args)
        try:
            yield process
        finally:
            stop(process)

    def in_use(self) -> bool:
        """Whether the database has DAGs already. Raises RuntimeError when it cannot be reached."""
        try:
            return sql.inspect(self._engine).has_table("dag") and bool(self.dags_shown())
        except sql.exc.OperationalError as error:
            raise RuntimeError(f"the database cannot be used: {str(error.orig).splitlines()[0]}") from None

    def dags_shown(self) -> dict[str, Dag]:
        """What the database has, by DAG id."""
        query = sql.text(
            "SELECT d.dag_id, d.is_stale, d.description, d.relative_fileloc, s.data, d.last_parsed_time "
            "FROM dag d LEFT JOIN serialized_dag s ON s.dag_id = d.dag_id ORDER BY s.last_updated"
        )
        with self._engine.connect() as connection:  # the newest serialized version is the last one
            rows = connection.execute(query).all()
        return {r[0]: Dag(r[0], bool(r[1]), r[2] or "", r[3] or "", str(r[4] or ""), _unix(r[5])) for r in rows}

    def import_errors(self) -> dict[str, str]:
        """Last line of each import error, by file."""
        with self._engine.connect() as connection:
            rows = connection.execute(sql.text("SELECT filename, stacktrace FROM import_error")).all()
        return {row[0]: (row[1] or "").strip().splitlines()[-1] for row in rows}

    def wait(self, seen: Callable[[dict[str, Dag]], bool], what: str, seconds: float = 180) -> float:
        """Wait until the database shows something. Return the seconds that it took. Raises TimeoutError that says `what`."""
        started = time.monotonic()
        while True:
            with contextlib.suppress(sql.exc.OperationalError):  # SQLite is locked while it is written
                dags = self.dags_shown()
                if seen(dags):
                    return time.monotonic() - started
            if time.monotonic() - started > seconds:
                raise TimeoutError(f"not seen within {seconds:g} s: {what}; import errors: {self.import_errors()}")
            time.sleep(0.05)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a component and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def fresh(folder: Path) -> Path:
    """An empty folder in the place of whatever is there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _unix(value: Any) -> float:
    if value is None:
        return 0.0
    if isinstance(value, str):  # SQLite
        value = datetime.fromisoformat(value)
        value = value if value.tzinfo else value.replace(tzinfo=UTC)
    return float(value.timestamp())
