"""Seconds from the acknowledged PUT of a pointer to what it says being visible in Airflow.

Visible: the rows of all DAGs that the change concerns are not stale, and `dag` and `serialized_dag` have the new content;
of a removed file: its row is stale. A real dag-sync with its shipped period, a real dag-processor with the shipped settings.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import dag_sync_loop
import dag_sync_syncer
from airflow_dag_publisher import rollback
from dag_package import Session
from dag_store import S3Store
from scripts.bench import rig
from scripts.bench.publishes import publishes
from scripts.bench.rig import BUCKET, DAG_SYNC, ENVIRONMENT
from scripts.local import postgres
from scripts.local.airflow import Airflow, Dag, shipped_settings, stop
from scripts.local.s3_servers import S3Server

LIMIT = 5.0
LAYOUTS = ((10, 20), (100, 3))
DAG = '''"""A DAG of the benchmark."""

from pathlib import Path

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from {package}.dags.helpers import TEXT

DATA = (Path(__file__).parent / "data.txt").read_text().strip()

with DAG(
    "{package}_{dag}", schedule=None, description=f"{text} {{TEXT}} {{DATA}}", tags=["{package}"],
    default_args={{"owner": "{package}"}},
):
    EmptyOperator(task_id="nothing", doc_md=f"{text} {{TEXT}} {{DATA}}")
'''


@dataclass
class Package:
    """A package and what is to be seen of it."""

    name: str
    texts: dict[str, str]  # by DAG
    helper: str = "helper-000000"
    data: str = "data-000000"
    number: int = 0
    files: dict[str, bytes] = field(default_factory=dict)

    def render(self) -> dict[str, bytes]:
        """The files as they are to be published."""
        dags = {f"{dag}.py": DAG.format(package=self.name, dag=dag, text=text) for dag, text in self.texts.items()}
        files = {**dags, "helpers.py": f'TEXT = "{self.helper}"\n', "data.txt": f"{self.data}\n"}
        return {path: text.encode() for path, text in files.items()}

    def next(self, word: str) -> str:
        """A text that was never published, of a length of its own kind."""
        self.number += 1
        return f"{word}-{self.number:06d}"

    def shown(self, dags: dict[str, Dag]) -> bool:
        """Whether all of it is visible."""
        return all(
            (found := dags.get(f"{self.name}_{dag}")) is not None
            and all(found.shows(part) for part in (text, self.helper, self.data))
            for dag, text in self.texts.items()
        )


def run(quick: bool = False) -> dict[str, Any]:
    """Measure both layouts."""
    layouts = ((1, 4),) if quick else LAYOUTS
    repeats = 1 if quick else 30
    settings = {k: v for k, v in shipped_settings().items() if "PROCESSOR" in k or "SERIALIZED" in k or "IGNORE" in k}
    result: dict[str, Any] = {"period": dag_sync_loop.PERIOD, "settings": settings, "rows": []}
    for packages, files in layouts:
        with ExitStack() as stack:
            folder, url = stack.enter_context(rig.scratch()), stack.enter_context(postgres.running())
            result["database"] = "PostgreSQL" if url else "SQLite"
            server = stack.enter_context(rig.server(folder / "s3"))
            airflow = Airflow(folder / "airflow", folder / "dags", url)
            bench = _Bench(server.bucket(BUCKET), airflow, packages, files)
            stack.enter_context(bench.running(server, folder))
            samples = bench.measure(repeats)
            result["rows"] += [_row(packages, files, change, values) for change, values in samples.items()]
            if (packages, files) == layouts[0]:
                result["publish"] = publishes(server, folder, bench.packages[0].render(), 1 if quick else 5)
    rows = result["rows"]
    result["targets"] = [
        {"what": f"95th percentile, {r['change']}, {r['packages']} packages of {r['files']} files, seconds",
         "measured": r["p95"], "at_most": LIMIT, "met": r["p95"] <= LIMIT} for r in rows
    ]  # fmt: skip
    return result


class _Bench:
    """One layout."""

    def __init__(self, store: S3Store, airflow: Airflow, packages: int, files: int) -> None:
        self.store = store
        self.airflow = airflow
        self.packages = [
            Package(f"team{n:03d}", {f"dag{d:02d}": "text-000000" for d in range(files - 2)}) for n in range(packages)
        ]

    @contextmanager
    def running(self, server: S3Server, folder: Path) -> Iterator[None]:
        """Everything published, and the programs up and at rest."""
        for package in self.packages:
            self._publish(package)
        self.airflow.migrate()
        command = [*DAG_SYNC, "--bucket", BUCKET, "--environment", ENVIRONMENT,
                   "--root", str(folder / "dag-store"), "--link", str(self.airflow.dags)]  # fmt: skip
        with (folder / "dag-sync.log").open("wb") as log:
            syncing = subprocess.Popen(
                command,
                env=rig.variables(server.endpoint),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            with self.airflow.running("dag-processor"):
                self.airflow.wait(lambda dags: all(p.shown(dags) for p in self.packages), "all packages", 600)
                time.sleep(max(dag_sync_syncer.TOUCHES) + 4)
                yield
        finally:
            stop(syncing)

    def measure(self, repeats: int) -> dict[str, list[float]]:
        """Seconds for each kind of change; each at a random phase of both polls."""
        samples: dict[str, list[float]] = defaultdict(list)
        changes: dict[str, Callable[[Package], Callable[[dict[str, Dag]], bool]]] = {
            "new": self._new, "changed": self._changed, "same size": self._same_size, "helper only": self._helper,
            "data file only": self._data, "rolled back": self._rollback, "removed": self._removed,
        }  # fmt: skip
        for turn in range(repeats):
            package = self.packages[turn % len(self.packages)]
            for name, change in changes.items():
                time.sleep(random.uniform(0, dag_sync_loop.PERIOD))  # noqa: S311
                seen = change(package)
                samples[name].append(self.airflow.wait(seen, f"{name}, {package.name}", 60))
        return samples

    def _publish(self, package: Package) -> None:
        package.files = package.render()
        rig.publish(self.store, package.name, package.files)

    def _put(self, package: Package) -> Callable[[dict[str, Dag]], bool]:
        self._publish(package)
        return package.shown

    def _new(self, package: Package) -> Callable[[dict[str, Dag]], bool]:
        package.texts[package.next("added").replace("-", "_")] = "text-000000"
        return self._put(package)

    def _changed(self, package: Package) -> Callable[[dict[str, Dag]], bool]:
        package.texts["dag00"] = package.next("longer" if len(package.texts["dag00"]) < 12 else "text")
        return self._put(package)

    def _same_size(self, package: Package) -> Callable[[dict[str, Dag]], bool]:
        package.texts["dag00"] = package.next(package.texts["dag00"].partition("-")[0])
        return self._put(package)

    def _helper(self, package: Package) -> Callable[[dict[str, Dag]], bool]:
        package.helper = package.next("helper")
        return self._put(package)

    def _data(self, package: Package) -> Callable[[dict[str, Dag]], bool]:
        self._before = package.data
        package.data = package.next("data")
        return self._put(package)

    def _rollback(self, package: Package) -> Callable[[dict[str, Dag]], bool]:
        package.data = self._before
        rollback.rollback(Session(self.store, ENVIRONMENT, package.name))
        return package.shown

    def _removed(self, package: Package) -> Callable[[dict[str, Dag]], bool]:
        dag = list(package.texts)[-1]
        del package.texts[dag]
        self._publish(package)
        return lambda dags: dags[f"{package.name}_{dag}"].stale


def _row(packages: int, files: int, change: str, values: list[float]) -> dict[str, Any]:
    ordered = sorted(values)
    return {
        "packages": packages, "files": files, "change": change, "n": len(values), "p50": round(median(values), 2),
        "p95": round(percentile(ordered, 95), 2), "max": round(ordered[-1], 2), "all": [round(v, 2) for v in values],
    }  # fmt: skip


def percentile(ordered: list[float], percent: float) -> float:
    """The value that so many percent are not above: a measured one, not one between two."""
    return ordered[max(0, -(-len(ordered) * int(percent) // 100) - 1)]
