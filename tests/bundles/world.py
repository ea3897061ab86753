"""A bucket, a dag-sync that serves versions, and a whole Airflow whose packages are bundles."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from airflow_dag_publisher import rollback
from dag_store import S3Store
from scripts.local import postgres
from scripts.local.airflow import AIRFLOW, FILES, stop
from scripts.local.packages import publish, session
from scripts.local.ports import free_port
from scripts.local.s3_servers import S3Server
from scripts.local.waiting import PATIENCE, wait_for
from scripts.local.whole_airflow import WholeAirflow

DAG_SYNC = FILES / "dag_sync.py"


def bundle_list(packages: Collection[str]) -> str:
    """`dag_bundle_config_list`, as the layer renders it."""
    listed = [{"name": name, "classpath": "dag_bundle.PackageBundle", "kwargs": {}} for name in packages]
    return json.dumps([*listed, {"name": "dags-folder", "classpath": "dag_bundle.OtherPackages", "kwargs": {}}])


class World:
    """All of it, in a folder.

    Args:
        folder: for everything.
        server: an S3 server.
        packages: those with a bundle of their own.
        database_url: of Airflow; None: SQLite.
        settings: more of Airflow's.
        program: `airflow` of another installation than this environment's.
    """

    def __init__(
        self,
        folder: Path,
        server: S3Server,
        packages: Collection[str],
        database_url: str | None = None,
        settings: Mapping[str, str] | None = None,
        program: Path = AIRFLOW,
    ) -> None:
        self.folder = folder
        self.server = server
        self.bucket: S3Store = server.bucket(f"t-{uuid.uuid4().hex[:20]}")
        self.links, self.store, self.storage = folder / "dags", folder / "dag-store", folder / "dag-bundles"
        self.port = free_port()
        self.sync_url = f"http://127.0.0.1:{self.port}"
        bundles = {
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": str(self.storage),
            "AIRFLOW__DAG_PROCESSOR__STALE_BUNDLE_CLEANUP_INTERVAL": "0",
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundle_list(packages),
            "DAG_SYNC_LINK": str(self.links),
            "DAG_SYNC_ROOT": str(self.store),
            "DAG_SYNC_VERSIONS_URL": self.sync_url,
        }
        self.whole = WholeAirflow(folder / "home", self.links, database_url, {**bundles, **(settings or {})}, program)
        self.airflow = self.whole.airflow
        for file in FILES.glob("*.py"):
            with suppress(FileExistsError):
                (self.airflow.home / "config" / file.name).symlink_to(file)

    @contextmanager
    def syncing(self, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
        """dag-sync, for the length of a `with`."""
        environment = {
            **self.server.environment, "PATH": "/usr/bin:/bin", "DAG_SYNC_BUCKET": self.bucket.bucket,
            "DAG_SYNC_ENVIRONMENT": "dev", "DAG_SYNC_ROOT": str(self.store), "DAG_SYNC_LINK": str(self.links),
            "DAG_SYNC_VERSIONS_BIND": f"127.0.0.1:{self.port}", "DAG_SYNC_TRACKING": str(self.storage / "_tracking"),
        }  # fmt: skip
        with (self.folder / "dag-sync.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, DAG_SYNC, *flags], env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            wait_for((self.links / ".airflowignore").exists, what="dag-sync has begun")
            yield process
        finally:
            stop(process)

    @contextmanager
    def running(self, *flags: str) -> Iterator[None]:
        """dag-sync and all of Airflow."""
        self.airflow.migrate()
        with self.syncing(*flags), self.whole.running():
            yield

    def publish(self, package: str, files: Mapping[str, bytes]) -> str:
        """Make files live; the version."""
        return publish(self.bucket, files, package)

    def roll_back(self, package: str) -> str:
        """Bring back the version before; the version that has its contents."""
        return rollback.rollback(session(self.bucket, package)).manifest.version

    def shows(self, dag_id: str, text: str) -> None:
        """Wait until the DAG shows `text`, in its row and serialized."""
        self.airflow.wait(lambda dags: dag_id in dags and dags[dag_id].shows(text), f"{dag_id} with {text!r}", PATIENCE)

    def version_of(self, dag_id: str) -> Any:
        """The bundle's version that the DAG's row says."""
        return self.whole.api("GET", f"/dags/{dag_id}")["bundle_version"]


@contextmanager
def database() -> Iterator[str | None]:
    """A PostgreSQL, or None where it is not installed: SQLite then."""
    with postgres.running() as url:
        yield url and url.replace(
            "postgresql:", "postgresql+psycopg2:"
        )  # with SQLAlchemy 2.1 the name alone is psycopg's
