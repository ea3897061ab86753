"""The layer options/postgresql-tls on a real PostgreSQL: each of Airflow's three ways to its database verifies the certificate."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from scripts.local import postgres
from scripts.local.airflow import FILES, Airflow
from scripts.pinned import ROOT

LAYER = yaml.safe_load((ROOT / "values/options/postgresql-tls.yaml").read_text())
HOST = "airflow-postgresql.airflow"  # as the secret airflow-database has it
KUBECTL = """#!/usr/bin/env bash
for word; do [[ $word != --from-file=* ]] || { file=${word#--from-file=}; cat "${file#*=}" >"$OUT/${file%%=*}"; }; done
"""
# As a pod has it: the secret's certificate at its place, and the name that Kubernetes resolves. In a mount namespace.
IN_A_POD = """
mount -t tmpfs tmpfs /opt && mkdir /opt/airflow && ln -s "$1" /opt/airflow/database-tls && mount --bind "$2" /etc/hosts || exit 99
shift 2; exec "$@"
"""
EVERY_WAY = """
import asyncio, json
import sqlalchemy as sql
from airflow.configuration import conf
from airflow.utils.session import create_session, create_session_async

QUERY = sql.text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")

async def asyncpg():
    async with create_session_async() as session:
        return (await session.execute(QUERY)).scalar()

with create_session() as session:
    print("psycopg2", session.execute(QUERY).scalar())
print("asyncpg", asyncio.run(asyncpg()))
options = json.loads(conf.get("celery", "result_backend_sqlalchemy_engine_options"))
with sql.create_engine(conf.get("database", "sql_alchemy_conn"), **options).connect() as connection:
    print("celery", connection.execute(QUERY).scalar())
"""


def can_mount() -> bool:
    """Whether a mount namespace can be made here."""
    try:
        return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not can_mount(), reason="no mount namespace can be made (unshare --mount)"),
]


def certificate(folder: Path) -> Path:
    """What `manage.sh deploy` puts into the secret, by its own line."""
    folder.mkdir()
    tools = folder.with_name(f"{folder.name}-bin")
    tools.mkdir()
    (tools / "kubectl").write_text(KUBECTL)
    (tools / "kubectl").chmod(0o755)
    line = f'source "{ROOT}/scripts/manage/secrets.sh"; namespace=airflow options=postgresql-tls; eval "$(secret_line airflow-database-tls)"'
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "OUT": str(folder)}
    subprocess.run(["bash", "-euc", line], env=environment, check=True, capture_output=True)
    return folder


def settings_of_the_layer(secret: Path) -> dict[str, str]:
    """What PostgreSQL reads, with the secret where it is here."""
    text = LAYER["postgresql"]["primary"]["extendedConfiguration"]
    return {
        key: value.strip("'").replace("/opt/airflow-tls", str(secret))
        for key, value in re.findall(r"(\w+) = (.*)", text)
    }


def as_kubernetes_mounts_it(secret: Path) -> None:
    """Files of root's that the group of `fsGroup` may read, and a way to them for everybody."""
    for file in secret.iterdir():
        file.chmod(0o440)
        os.chown(file, 0, postgres.NOBODY)
    for folder in [secret, *secret.parents][: len(secret.parts) - 2]:
        folder.chmod(folder.stat().st_mode | 0o055)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """The secret airflow-database-tls."""
    made = certificate(tmp_path / "secret")
    as_kubernetes_mounts_it(made)
    return made


@pytest.fixture
def url(secret: Path) -> Iterator[str]:
    """A PostgreSQL that takes encrypted connections alone; without `sslmode`, as deploy writes it."""
    with postgres.running(settings_of_the_layer(secret), "hostssl all all all trust\n") as found:
        if found is None:
            pytest.skip("PostgreSQL is not installed")
        yield found.replace("127.0.0.1", HOST)


def airflow(folder: Path, url: str, trusted: Path) -> Airflow:
    """An Airflow with the layer's settings, in a pod that trusts what is in `trusted`."""
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {HOST} another.name\n")
    config = {
        f"AIRFLOW__{part.upper()}__{key.upper()}": value
        for part, keys in LAYER["config"].items()
        for key, value in keys.items()
    }
    prefix = ("unshare", "--mount", "bash", "-c", IN_A_POD, "bash", str(trusted), str(hosts))
    made = Airflow(folder / "airflow", folder / "airflow" / "dags", url, config, prefix)
    shutil.copy(FILES / "database_tls.py", made.home / "config")
    return made


def test_every_way_to_the_database_is_encrypted_and_verified(tmp_path: Path, secret: Path, url: str) -> None:
    it = airflow(tmp_path, url, secret)
    it.migrate()
    script = tmp_path / "every_way.py"
    script.write_text(EVERY_WAY)
    done = subprocess.run(
        [*it.prefix, "python", script], env=it.environment, capture_output=True, text=True, check=False
    )
    seen = re.findall(r"^(psycopg2|asyncpg|celery) (\w+)$", done.stdout, re.MULTILINE)
    assert seen == [("psycopg2", "True"), ("asyncpg", "True"), ("celery", "True")], done.stderr[-3000:]


@pytest.mark.parametrize("why", ["another certificate", "another name", "no certificate"])
def test_a_database_that_cannot_be_verified_is_not_spoken_to(tmp_path: Path, secret: Path, url: str, why: str) -> None:
    trusted = {
        "another certificate": lambda: certificate(tmp_path / "other"),
        "no certificate": lambda: tmp_path / "gone",
    }
    it = airflow(
        tmp_path,
        url.replace(HOST, "another.name") if why == "another name" else url,
        trusted.get(why, lambda: secret)(),
    )
    done = it.run("db", "check")
    assert done.returncode, done.stdout
    said = {"another name": "does not match host name", "no certificate": "does not exist"}.get(
        why, "certificate verify failed"
    )
    assert said in done.stdout + done.stderr
    script = tmp_path / "ways.py"
    script.write_text(EVERY_WAY.replace('print("psycopg2", session.execute(QUERY).scalar())', "pass"))
    done = subprocess.run(
        [*it.prefix, "python", script], env=it.environment, capture_output=True, text=True, check=False
    )
    assert "asyncpg True" not in done.stdout and "CERTIFICATE_VERIFY_FAILED" in done.stderr, done.stderr[-2000:]
