"""Prints the secret `airflow-database` of a cloud environment, for `kubectl create -f -`.

    AIRFLOW_DATABASE_URL=postgresql://user:password@host:5432/airflow?sslmode=verify-full python -m scripts.manage.database_secret

Without `sslmode` the connection is encrypted and the certificate is not verified; `verify-full` reads the CA from the secret
`airflow-database-tls`.

Airflow speaks to PgBouncer in the cluster, PgBouncer to the database; the chart could make the latter's configuration
only from a password in its values, so it is made here. It goes to standard output and nowhere else.
"""

from __future__ import annotations

import os
import sys
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from scripts.manage.secret import print_secret

NAME = "airflow-database"
VARIABLE = "AIRFLOW_DATABASE_URL"
POOL_SIZE = 20  # connections to PostgreSQL that a PgBouncer opens; prod has two of them, an RDS micro allows about 80
PREPARED = 200  # PgBouncer's own default is 0 before 1.24: asyncpg's prepared statements would meet another connection
CA = "/opt/airflow/database-tls/ca.crt"
MODES = ("require", "verify-ca", "verify-full", "disable")
MAX_CLIENTS = 300  # connections of Airflow's processes: base.yaml allows 10 each


def documents(url: str, namespace: str) -> dict[str, str]:
    """The keys of the secret. Raises ValueError with a sentence."""
    parts = urlsplit(url)
    database = parts.path.removeprefix("/")
    if parts.scheme not in ("postgresql", "postgres") or not (
        parts.hostname and parts.username and parts.password and database
    ):
        raise ValueError(
            f"{VARIABLE} is not like postgresql://user:password@host:5432/database (special characters as %XX)."
        )
    mode = _sslmode(parts.query)
    user, password = unquote(parts.username), unquote(parts.password)
    if any(character in user + password for character in '"\n'):
        raise ValueError(f'{VARIABLE}: PgBouncer takes no " and no line break in user or password; choose others.')
    of_keda = "disable" if mode == "disable" else "require"  # it has no file of ours
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return {
        "connection": f"postgresql://{login}@airflow-pgbouncer.{namespace}:6543/airflow-metadata",
        "kedaConnection": f"postgresql://{login}@{parts.hostname}:{parts.port or 5432}/{database}?sslmode={of_keda}",
        "pgbouncer-stats": f"postgresql://{login}@127.0.0.1:6543/pgbouncer?sslmode=disable",
        "users.txt": f'"{user}" "{password}"\n',
        "pgbouncer.ini": f"""[databases]
airflow-metadata = host={parts.hostname} port={parts.port or 5432} dbname={database} pool_size={POOL_SIZE}

[pgbouncer]
pool_mode = transaction
listen_addr = *
listen_port = 6543
auth_type = scram-sha-256
auth_file = /etc/pgbouncer/users.txt
stats_users = {user}
ignore_startup_parameters = extra_float_digits
max_prepared_statements = {PREPARED}
max_client_conn = {MAX_CLIENTS}
server_tls_sslmode = {mode}
{f"server_tls_ca_file = {CA}" if mode.startswith("verify-") else ""}
""",
    }


def _sslmode(query: str) -> str:
    """How the database is spoken to. Raises ValueError."""
    said = dict(parse_qsl(query, keep_blank_values=True))
    mode = said.pop("sslmode", "require")
    if said:
        raise ValueError(
            f"{VARIABLE} has {', '.join(sorted(said))} after its `?`, where only sslmode is known; leave it out."
        )
    if mode not in MODES:
        raise ValueError(f"{VARIABLE}: sslmode={mode} is none of {', '.join(MODES)}.")
    return mode


def main() -> int:
    """Print the secret."""
    return print_secret(
        NAME, lambda: documents(os.environ.get(VARIABLE, ""), os.environ.get("AIRFLOW_NAMESPACE", "airflow"))
    )


if __name__ == "__main__":
    sys.exit(main())
