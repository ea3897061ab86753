"""What is exhaustive is left out where nothing of it changed, and never where somebody asks for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.helpers import bounds

ROOT = Path(__file__).parents[2]


@pytest.fixture
def proved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(bounds.PART_ONLY, raising=False)
    monkeypatch.setattr(bounds, "ROOT", tmp_path)
    monkeypatch.setattr(bounds, "PROVED", tmp_path / "proved.yaml")
    monkeypatch.setattr(bounds, "SUBJECTS", {"one": ["a", "b.py"], "two": ["b.py"]})
    (tmp_path / "a" / "__pycache__").mkdir(parents=True)
    for name in ("a/x.py", "a/__pycache__/x.pyc", "b.py"):
        (tmp_path / name).write_text("1")
    return tmp_path


def test_a_subject_is_whole_until_it_passed_and_again_when_a_file_changed_came_or_went(proved: Path) -> None:
    assert bounds.changed() == ["one", "two"]
    bounds.main()
    assert bounds.changed() == [] and yaml.safe_load(bounds.PROVED.read_text()).keys() == {"one", "two"}
    (proved / "a" / "__pycache__" / "x.pyc").write_text("2")
    assert bounds.changed() == []
    (proved / "a" / "y.py").write_text("")
    assert bounds.changed() == ["one"]
    bounds.main()
    (proved / "a" / "x.py").rename(proved / "a" / "z.py")
    assert bounds.changed() == ["one"]
    bounds.main()
    (proved / "b.py").write_text("2")
    assert bounds.changed() == ["one", "two"]


def test_a_part_is_a_part_whatever_changed_where_that_is_asked_for(
    proved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(bounds.PART_ONLY, "1")
    assert bounds.changed() == []


def collected(*words: str, **env: str) -> list[str]:
    """Names of the tests that a run with these words would run."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *words]
    own = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}
    done = subprocess.run(command, cwd=ROOT, env=own | env, capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_it_is_run_in_full_and_by_its_name_and_never_quickly() -> None:
    crash = "tests/dag_sync/test_crash.py"
    name = f"{crash}::test_killed_before_any_step_a_whole_version_is_served_and_a_new_run_heals[damaged]"
    part = collected(crash, **{bounds.PART_ONLY: "1"})
    assert name not in part and len(part) >= 4
    assert name in collected(crash, "--full")
    assert collected(name) == [name] and collected(name, **{bounds.PART_ONLY: "1"}) == []
    assert collected(crash, "--quick") == [] and collected("tests/protocol", "--quick")
