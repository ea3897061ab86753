"""The publisher outside of the checkout's environment: alone, and by `poetry run` as the operations guide has it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.pinned import ROOT, program, uv

PACKAGE = ROOT / "packages" / "airflow_dag_publisher"
VALIDATE = ["validate", "--package-name", "sales", "--dag-file"]
DAG = ROOT / "examples" / "sales" / "dags" / "daily_report.py"
UV, POETRY = uv(), program("poetry")


def test_alone_it_installs_from_its_lock_and_says_that_it_checked_statically(tmp_path: Path) -> None:
    """No Airflow: the usual state of a package's CI job."""
    python = tmp_path / "bin" / "python"
    for command in (
        [UV, "venv", "--quiet", "--python", sys.executable, tmp_path],
        [UV, "pip", "sync", "--quiet", "--python", python, "--require-hashes", ROOT / "locks" / "publisher.txt"],
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, PACKAGE],
    ):
        subprocess.run(command, check=True, capture_output=True, timeout=600)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([UV, "pip", "install", "--quiet", "--python", python, "--no-deps", wheel], check=True, timeout=300)
    done = subprocess.run(
        [tmp_path / "bin" / "airflow-dag-publisher", *VALIDATE, DAG],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "statically" in done.stdout and "Airflow is not installed" in done.stdout


def test_poetry_run_in_the_package_s_folder_uses_the_checkout_s_environment() -> None:
    if not POETRY.exists():
        pytest.skip("poetry is not installed in the cache (make tools)")
    environment = {k: v for k, v in os.environ.items() if k != "VIRTUAL_ENV"}
    command = [POETRY, "run", "airflow-dag-publisher", *VALIDATE, DAG]
    done = subprocess.run(
        command, cwd=PACKAGE, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "parsed by Airflow" in done.stdout
