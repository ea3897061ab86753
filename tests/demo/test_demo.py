"""The README's first command, and that it cannot say "seen" of what it did not see."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.demo.demo import Demo, NotSeen
from tests.helpers.needs import needs_terraform

ROOT = Path(__file__).parents[2]


@pytest.mark.airflow
@pytest.mark.exhaustive("demo")
@needs_terraform[0]
@needs_terraform[1]
def test_the_demo_sees_every_step(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.demo", "--folder", str(tmp_path / "demo")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "every step was seen" in done.stdout
    assert re.search(r"publish to visible, \d+ times: p50 [\d.]+ s, p95 [\d.]+ s", done.stdout.splitlines()[-1])


@pytest.mark.parametrize("error", [NotSeen("nothing there"), TimeoutError("not within 60 s")])
def test_a_step_that_is_not_seen_ends_the_demo_with_1(error: Exception, tmp_path: Path, capsys: Any) -> None:
    demo = Demo(tmp_path, aws=None, airflow=None)  # type: ignore[arg-type]
    with pytest.raises(SystemExit) as ended, demo.step("look"):
        raise error
    assert ended.value.code == 1
    assert str(error) in capsys.readouterr().out
    assert not demo.rows, "a step that failed is in the table of what was seen"
