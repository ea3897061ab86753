"""Each part of the benchmarks runs, and what is published is what was measured."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.bench import report
from scripts.manage.layers.chart import archive
from scripts.pinned import ROOT, program
from tests.cluster.conftest import skip_unless_built

RESULTS = ROOT / "docs" / "benchmarks"
PARTS = ("latency", "polls", "faults", "mixed", "neighbours", "terraform", "cluster")


IN_FULL = pytest.mark.exhaustive("demo")
LONG = {"latency": [pytest.mark.airflow, IN_FULL], "polls": [IN_FULL], "cluster": [IN_FULL], "terraform": [IN_FULL]}


@pytest.mark.skipif(not program("versitygw").exists(), reason="versitygw is not built (`make tools`, needs Go)")
@pytest.mark.parametrize("part", [pytest.param(part, marks=LONG.get(part, [])) for part in PARTS])
def test_each_part_runs_with_tiny_sizes(part: str, tmp_path: Path):
    if part == "cluster":
        skip_unless_built()
        if not archive():
            pytest.skip("the official chart's archive is not here (make tools)")
    command = [sys.executable, "-m", "scripts.bench", part, "--quick", "--to", str(tmp_path)]
    env = {"PYTHONPATH": f"{ROOT}:{ROOT / 'charts/airflow-platform/files'}"}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    result = json.loads((tmp_path / f"{part}.json").read_text())
    assert result["quick"] and result["targets"]
    assert all(line["what"] in (tmp_path / "README.md").read_text() for line in result["targets"])


def test_tables_and_plots_are_what_the_results_give():
    for name, text in report.documents(RESULTS).items():
        assert (RESULTS / name).read_text() == text, f"{name} is out of date: `python -m scripts.bench report`"


@pytest.mark.parametrize("part", PARTS)
def test_results_are_of_a_full_run_and_name_no_machine(part: str):
    text = (RESULTS / f"{part}.json").read_text()
    result = json.loads(text)
    assert not result["quick"]
    assert not re.search(r"/(work|root|home|tmp)/|https?://", text)
