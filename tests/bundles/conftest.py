"""Both versions of Airflow that our code must run on."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.local.airflow import AIRFLOW
from scripts.local.tools import complete
from scripts.pinned import program, versions


@pytest.fixture(params=["airflow", "airflow_next"], ids=lambda name: f"{name} {versions()[name]}")
def airflow_program(request: pytest.FixtureRequest) -> Path:
    """`airflow` of the platform's version, and of the next one."""
    if request.param == "airflow":
        return AIRFLOW
    if not complete("airflow_next").exists():
        pytest.skip("the next Airflow is not installed (make tools)")
    return program("airflow_next")
