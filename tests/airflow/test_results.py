"""What a DAG file says and PostgreSQL cannot take: the file has an import error, and everybody else's DAGs go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.local import postgres
from scripts.local.airflow import Airflow, install_policies
from scripts.local.waiting import PATIENCE

pytestmark = pytest.mark.airflow

DAG = """
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
with DAG("{package}_{name}", description={description}, tags=["t"], default_args=dict(owner={owner})):
    EmptyOperator(task_id="one")
"""


def dag(package: str, name: str = "report", description: str = "'first'", owner: str = "'team'") -> str:
    """A file with a DAG; description and owner are expressions."""
    return DAG.format(package=package, name=name, description=description, owner=owner)


# Each part fits into its column, and both together into no index.
ASSET = """
import random, string
from airflow.sdk import DAG, Asset
random.seed(1)
text = lambda: "".join(random.choices(string.ascii_letters + string.digits, k=1480))
with DAG("sales_index", schedule=[Asset(text(), uri=f"x://{text()}/")], tags=["t"], default_args=dict(owner="t")):
    pass
"""
HOSTILE = {
    "nul.py": "raise ValueError('a' + chr(0) + 'b')  # what Airflow takes for a dag",
    "text.py": dag("sales", "text", description="'a' + chr(0) + 'b'"),
    "owner.py": dag("sales", "owner", owner="'o' * 2100"),
    "index.py": ASSET,
}


def test_nobody_elses_dags_stop(tmp_path: Path) -> None:
    """SQLite takes all of it: the fault is PostgreSQL's alone, so that nothing but a real one shows it."""
    with postgres.running() as url:
        if url is None:
            pytest.skip("PostgreSQL is not installed")
        airflow = Airflow(tmp_path / "home", tmp_path / "dags", url)
        install_policies(airflow.home / "config")
        for package in ("finance", "sales"):
            (airflow.dags / package).mkdir(parents=True)
            (airflow.dags / package / "report.py").write_text(dag(package))
        for name, text in HOSTILE.items():
            (airflow.dags / "sales" / name).write_text(text)
        airflow.migrate()
        with airflow.running("dag-processor") as processor:
            airflow.wait(lambda shown: {"finance_report", "sales_report"} <= set(shown), "the healthy ones", PATIENCE)
            wanted = {f"sales/{name}" for name in HOSTILE}
            airflow.wait(
                lambda _: wanted <= set(airflow.import_errors()), "an import error of each other one", PATIENCE
            )
            (airflow.dags / "finance" / "report.py").write_text(dag("finance", description="'after them'"))
            airflow.wait(lambda shown: shown["finance_report"].shows("after them"), "a neighbour's change", PATIENCE)
            assert processor.poll() is None
            assert not airflow.dags_shown()["sales_report"].stale
        assert all("cannot be written into" in text for text in airflow.import_errors().values()), (
            airflow.import_errors()
        )
