"""What is exhaustive is left out where nothing of it changed, and never where somebody asks for it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.helpers import bounds
from tests.helpers.imports import reached

ROOT = Path(__file__).parents[2]


def git(folder: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@x", *words], cwd=folder, check=True, capture_output=True
    )


@pytest.fixture(params=["a clone", "an archive"])
def proved(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv(bounds.PART_ONLY, raising=False)
    monkeypatch.setattr(bounds, "ROOT", tmp_path)
    monkeypatch.setattr(bounds, "PROVED", tmp_path / "proved.yaml")
    monkeypatch.setattr(bounds, "EVERYWHERE", ("all.yaml",))
    monkeypatch.setattr(bounds, "SUBJECTS", {"one": ("a", "b.py"), "two": ("b.py",)})
    (tmp_path / "a" / "__pycache__").mkdir(parents=True)
    for name in ("a/x.py", "a/__pycache__/x.pyc", "b.py", "all.yaml"):
        (tmp_path / name).write_text("1")
    if request.param == "a clone":
        (tmp_path / ".gitignore").write_text("__pycache__\n")
        git(tmp_path, "init")
        git(tmp_path, "add", "a/x.py")
    return tmp_path


def changed() -> list[str]:
    return bounds.changed(bounds.digests())


def prove() -> None:
    bounds.prove(bounds.digests())
    assert changed() == []


def test_a_subject_is_whole_until_it_passed_and_again_when_a_file_changed_came_or_went(proved: Path) -> None:
    assert changed() == ["one", "two"]
    prove()
    assert yaml.safe_load(bounds.PROVED.read_text()).keys() == {"one", "two"}
    (proved / "a" / "__pycache__" / "x.pyc").write_text("2")
    assert changed() == []
    (proved / "a" / "y.py").write_text("")
    assert changed() == ["one"]
    prove()
    (proved / "a" / "x.py").rename(proved / "a" / "z.py")
    assert changed() == ["one"]
    prove()
    for everybodys in ("b.py", "all.yaml"):
        (proved / everybodys).write_text("2")
        assert changed() == ["one", "two"]
        prove()


def test_a_part_is_a_part_whatever_changed_where_that_is_asked_for(
    proved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(bounds.PART_ONLY, "1")
    assert changed() == []


def test_a_subject_has_every_file_that_its_exhaustive_tests_import() -> None:
    """One too few would hide a mistake: a change there would run a part only."""
    of_subject: dict[str, list[Path]] = {}
    for file in ROOT.glob("tests/*/test_*.py"):
        for subject in re.findall(r"(?:exhaustive|in_full)\(\s*\"(\w+)\"", file.read_text()):
            of_subject.setdefault(subject, []).append(file)
    assert of_subject.keys() == bounds.SUBJECTS.keys()
    missing = {
        (subject, str(file.relative_to(ROOT)))
        for subject, files in of_subject.items()
        for file in reached(files)
        if not any(file.is_relative_to(ROOT / place) for place in (*bounds.EVERYWHERE, *bounds.SUBJECTS[subject]))
    }
    assert missing == set()


# --- when a run proves something ----------------------------------------------------------------------------------


def run_of(folder: Path, test: str, *words: str) -> tuple[str, bool]:
    """What a run with our conftest says of proved.yaml, and whether it is there then. One test, and a subject of one file."""
    (folder / "tests").mkdir()
    (folder / "tests" / "test_it.py").write_text(f"import pytest\n\n@pytest.mark.exhaustive('protocol')\n{test}\n")
    (folder / "pytest.ini").write_text("[pytest]\ntestpaths = tests\nmarkers = exhaustive\n")
    proved = folder / "proved.yaml"
    plugin = f"""
from pathlib import Path
from tests.helpers import bounds
from tests.helpers.imports import reached
bounds.ROOT, bounds.PROVED = Path({str(folder)!r}), Path({str(proved)!r})
bounds.EVERYWHERE, bounds.SUBJECTS = (), {{"protocol": ("tests",)}}
from tests.conftest import *
"""
    (folder / "ours.py").write_text(plugin)
    done = run_again(folder, *words)
    said = [line for line in done.stdout.splitlines() if "proved.yaml" in line]
    return (said[0] if said else done.stdout), proved.exists()


def run_again(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "PYTHONPATH": f"{folder}:{ROOT}:{ROOT}/charts/airflow-platform/files",
    }
    command = [sys.executable, "-m", "pytest", "-p", "ours", *words]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("test", "words", "says", "proves"),
    [
        ("def test(): pass", ["--full"], "says that all passed, whole", True),
        ("def test(): pass", ["--full", "--numprocesses=2"], "says that all passed, whole", True),
        ("def test(): pass", [], "says that all passed, whole", True),  # nothing was proved: it was run whole
        ("def test(): pass", ["--quick"], "1 deselected", False),
        ("def test(): pass", ["--full", "tests"], "1 passed", False),
        ("def test(): pass", ["--full", "-k", "test"], "1 passed", False),
        ("def test(): pass", ["--full", "--lf"], "1 passed", False),
        (
            "def test_a(): pass\n\ndef test_b(): pass",
            ["--full", "--deselect=tests/test_it.py::test_a"],
            "1 passed",
            False,
        ),
        ("def test(): pass", ["--full", "--collect-only"], "1 test collected", False),
        ("def test(): pytest.skip('no tool')", ["--full"], "exhaustive tests were skipped", False),
        ("def test(): assert 0", ["--full"], "1 failed", False),
        ("def test(): open(__file__, 'a').write('# edited')", ["--full"], "files changed during the run", False),
    ],
)
def test_only_a_whole_run_of_everything_proves_something(
    test: str, words: list[str], says: str, proves: bool, tmp_path: Path
) -> None:
    said, there = run_of(tmp_path, test, *words)
    assert says in said and there is proves, said


def test_what_is_proved_is_not_written_again_and_what_is_left_out_is_no_failure(tmp_path: Path) -> None:
    assert run_of(tmp_path, "def test(): pass")[1]
    written = (tmp_path / "proved.yaml").stat().st_mtime_ns
    again = run_again(tmp_path)
    assert (again.returncode, "proved.yaml" in again.stdout) == (0, False), again.stdout
    assert "1 deselected" in again.stdout and (tmp_path / "proved.yaml").stat().st_mtime_ns == written
    assert run_again(tmp_path, "--numprocesses=2", "tests").returncode == 0
    assert run_again(tmp_path, "-k", "other").returncode == pytest.ExitCode.NO_TESTS_COLLECTED


# --- what is left out ---------------------------------------------------------------------------------------------


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
