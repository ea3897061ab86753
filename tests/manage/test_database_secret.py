"""The secret between Airflow, PgBouncer and the database."""

import configparser
from urllib.parse import unquote, urlsplit

import pytest

from scripts.manage.database_secret import documents

URL = "postgresql://air%20flow:p%40ss%2Fw%25rd@db.example.org:6000/airflow_dev"


def test_pgbouncer_and_airflow_get_what_fits_together() -> None:
    made = documents(URL, "airflow")
    ini = configparser.RawConfigParser()
    ini.read_string(made["pgbouncer.ini"])
    connection = urlsplit(made["connection"])
    assert (connection.hostname, connection.port) == ("airflow-pgbouncer.airflow", int(ini["pgbouncer"]["listen_port"]))
    database = connection.path.removeprefix("/")
    assert dict(word.split("=") for word in ini["databases"][database].split()) == {
        "host": "db.example.org", "port": "6000", "dbname": "airflow_dev", "pool_size": "20",
    }  # fmt: skip
    assert ini["pgbouncer"]["stats_users"] == "air flow" and ini["pgbouncer"]["server_tls_sslmode"] == "require"
    assert int(ini["pgbouncer"]["max_prepared_statements"]) > 0, "Airflow's async engine prepares its statements"
    assert made["users.txt"] == '"air flow" "p@ss/w%rd"\n'
    for key in ("connection", "kedaConnection", "pgbouncer-stats"):
        parts = urlsplit(made[key])
        assert (unquote(parts.username or ""), unquote(parts.password or "")) == ("air flow", "p@ss/w%rd")
    assert urlsplit(made["kedaConnection"]).hostname == "db.example.org"


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca", "disable"])
def test_how_the_database_is_spoken_to_can_be_said(mode: str) -> None:
    made = documents(f"{URL}?sslmode={mode}", "airflow")
    ini = configparser.RawConfigParser()
    ini.read_string(made["pgbouncer.ini"])
    assert ini["pgbouncer"]["server_tls_sslmode"] == mode
    ca = "/opt/airflow/database-tls/ca.crt" if mode != "disable" else None
    assert ini["pgbouncer"].get("server_tls_ca_file") == ca


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("sslmode=prefer", "sslmode=prefer is none of require"),
        ("sslmode=", "sslmode= is none"),
        ("sslrootcert=/x", "sslrootcert"),
    ],
)
def test_what_would_be_ignored_is_refused(query: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        documents(f"{URL}?{query}", "airflow")


@pytest.mark.parametrize(
    "url", ["", "mysql://u:p@h/d", "postgresql://u@h/d", "postgresql://u:p@h", "postgresql://u:p@/d", "x"]
)
def test_another_url_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(
        ValueError, match="AIRFLOW_DATABASE_URL is not like postgresql://user:password@host:5432/database"
    ):
        documents(url, "airflow")


def test_a_password_that_pgbouncer_cannot_read_is_refused() -> None:
    with pytest.raises(ValueError, match='takes no "'):
        documents("postgresql://u:a%22b@h:5432/d", "airflow")
