"""How Airflow connects to a PostgreSQL whose certificate it verifies: the layer options/postgresql-tls names this module.

In a URL it cannot be said: Airflow makes the address for asyncpg of psycopg2's, and asyncpg refuses `sslmode` and
`sslrootcert`. In libpq's variables neither: each connection of each task to some other PostgreSQL would be held to it.
"""

import ssl
from pathlib import Path

CA = "/opt/airflow/database-tls/ca.crt"
"""Of the secret airflow-database-tls; the server's own certificate, where it signed itself."""

PSYCOPG2 = {"sslmode": "verify-full", "sslrootcert": CA}
"""`[database] sql_alchemy_connect_args`."""


def _context() -> ssl.SSLContext:
    """Verifies chain and name. Without the file nothing is trusted, so that a connection says which certificate fails."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if Path(CA).is_file():
        context.load_verify_locations(CA)
    return context


ASYNCPG = {"ssl": _context()}
"""`[database] sql_alchemy_connect_args_async`."""
