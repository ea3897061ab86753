"""What a repository brings past every check: it ends Airflow's own walk, and with ours nobody else's DAGs stop."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dag_walk
from scripts.local.airflow import Airflow, install_policies
from scripts.local.waiting import PATIENCE
from tests.helpers.airflow_walk import GLOB, airflows_walk


def dag(package: str, description: str) -> str:
    """A DAG file of a package."""
    return f"""
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator
with DAG("{package}_report", description={description!r}, tags=["t"], default_args={{"owner": "t"}}):
    EmptyOperator(task_id="one")
"""


def linked(dags: Path) -> None:
    for package in ("sales", "other"):
        (dags / package).mkdir(exist_ok=True)
        (dags / package / "common").symlink_to("../../shared")
    for name in ("again", "once_more"):
        (dags / "sales" / name).symlink_to("../../shared")


def archive(name: str, **how: Any) -> Callable[[Path], None]:
    """An archive in package sales, with a member of this name."""

    def make(dags: Path) -> None:
        with zipfile.ZipFile(dags / "sales" / "book.xlsx", "w", **how) as book:
            book.writestr(name, b"airflow dag")

    return make


def ignore(text: bytes) -> Callable[[Path], None]:
    return lambda dags: (dags / "sales" / ".airflowignore").write_bytes(text) and None


def slow(dags: Path) -> None:
    (dags / "sales" / ".airflowignore").write_text("*a" * 25 + "b\n")
    (dags / "sales" / ("a" * 100 + ".py")).write_text("")


ENDS_THE_WALK: dict[str, Callable[[Path], None]] = {
    "two links to one folder": linked,
    "a link to a neighbour": lambda dags: (dags / "sales" / "theirs").symlink_to("../finance"),
    "a link to itself": lambda dags: (dags / "sales" / "loop").symlink_to("."),
    "a link to the DAGs folder": lambda dags: (dags / "sales" / "loop").symlink_to(".."),
    "a link to the repository": lambda dags: (dags / "sales" / "loop").symlink_to("../.."),
    "a folder that is a link to a neighbour": lambda dags: (dags / "aaa").symlink_to("finance"),
    "an ignore file that is not UTF-8": ignore(b"caf\xe9\n"),
    "an ignore file with a bad range": ignore(b"[z-a]\n"),
    "an ignore file with a backslash at its end": ignore(b"a\\"),
}


def named(*names: str) -> Callable[[Path], None]:
    def make(dags: Path) -> None:
        for name in names:
            (dags / "sales" / name).parent.mkdir(parents=True, exist_ok=True)
            (dags / "sales" / name).write_text("")

    return make


# Each ends a dag-processor after its walk, or keeps it busy, if it is handed over.
LEFT_OUT: dict[str, Callable[[Path], None]] = {
    "an archive with an absolute name": archive("/etc/dag.py"),
    "an archive packed in another way": archive("dag.py", compression=zipfile.ZIP_BZIP2),
    "a pipe": lambda dags: os.mkfifo(dags / "sales" / "pipe"),
    "a link to a device without an end": lambda dags: (dags / "sales" / "data").symlink_to("/dev/zero"),
    "a name that is not UTF-8": named(os.fsdecode(b"caf\xe9.py")),
    "a name too long for a log's": named("a" * 252 + ".py"),
    "a path too long for the database": named("/".join("abcdefghi" * 20 for _ in range(4)) + "/x.py"),
    "a folder where the log of a file is": named("x.py.log/y.py"),
}


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    """A repository's DAGs folder with two healthy packages."""
    folder = tmp_path / "repository" / "dags"
    for package in ("finance", "sales"):
        (folder / package).mkdir(parents=True)
        (folder / package / "report.py").write_text(dag(package, "first"))
    (folder.parent / "shared" / "sql").mkdir(parents=True)
    (folder.parent / "shared" / "sql" / "q.sql").write_text("select 1")
    return folder


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said, as if nothing had been before."""
    lines: list[str] = []
    monkeypatch.setattr(dag_walk, "_told", set())
    monkeypatch.setattr(dag_walk.log, "error", lines.append)
    return lines


def walk(dags: Path, ours: dag_walk.Walk | None = None) -> list[str]:
    """By our walk, from the DAGs folder."""
    found = (ours or dag_walk.Walk())(dags, ".airflowignore", GLOB)
    return sorted(os.path.relpath(file, dags) for file in found)


@pytest.mark.parametrize("spoil", ENDS_THE_WALK.values(), ids=ENDS_THE_WALK)
def test_what_ends_airflows_walk_does_not_end_ours(dags: Path, spoil: Callable[[Path], None], told: list[str]) -> None:
    spoil(dags)
    with pytest.raises((RuntimeError, ValueError, re.error)):
        airflows_walk(dags)
    found = walk(dags)
    assert "finance/report.py" in found, "a neighbour's file"
    assert [file for file in found if "finance" in file] == ["finance/report.py"], (
        "by another path it were another package's"
    )
    assert told and all("sales" in line or "aaa" in line or "other" in line for line in told)
    before = list(told)
    assert walk(dags) == found and told == before, "told once"


@pytest.mark.parametrize("spoil", LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_ends_what_comes_after_the_walk_is_left_out(
    dags: Path, spoil: Callable[[Path], None], told: list[str]
) -> None:
    spoil(dags)
    assert walk(dags) == ["finance/report.py", "sales/report.py"]
    assert all("sales" in line for line in told)


def test_a_time_that_no_calendar_has_is_left_out(told: list[str]) -> None:
    """Not every file system can have one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        file = Path(folder) / "sales" / "new.py"
        file.parent.mkdir()
        file.write_text("")
        os.utime(file, (2.0**38, 2.0**38))
        assert walk(Path(folder)) == [] and "sales/new.py" in told[0]


def test_what_an_unreadable_ignore_file_hid_is_not_run(dags: Path, told: list[str]) -> None:
    """Its folder alone goes: what lies beside it stays."""
    (dags / "sales" / "jobs").mkdir()
    (dags / "sales" / "jobs" / "load.py").write_text("")
    (dags / "sales" / "jobs" / ".airflowignore").write_bytes(b"[z-a]\n")
    assert walk(dags) == ["finance/report.py", "sales/report.py"]
    assert any("sales/jobs is left out" in line for line in told)


def test_an_ignore_file_that_fills_the_memory_is_not_read(dags: Path, told: list[str]) -> None:
    (dags / "sales" / ".airflowignore").write_bytes(b"\n" * (dag_walk.MAX_IGNORE_BYTES + 1))
    assert walk(dags) == ["finance/report.py"] and "more than 1,048,576 bytes" in told[0]


@pytest.mark.parametrize(
    "text", [b"finance/\n[z-a]\n", b"*a" * 25 + b"b\nfinance/\n"], ids=["not a pattern", "takes hours"]
)
def test_the_ignore_file_of_nobodys_folder_takes_nobodys_dags(
    dags: Path, text: bytes, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dag_walk, "FOLDER_SECONDS", 0.5)
    (dags / "a").mkdir()
    (dags / "a" / ("a" * 100 + ".py")).write_text("")
    (dags / ".airflowignore").write_bytes(text)
    ours = dag_walk.Walk()
    found = walk(dags, ours)
    assert {"finance/report.py", "sales/report.py"} <= set(found) | set(walk(dags, ours))
    assert any(f"{dags}/.airflowignore is not used" in line for line in told)


def test_a_pattern_that_takes_hours_is_ended_and_not_tried_at_each_walk(
    dags: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    monkeypatch.setattr(dag_walk, "FOLDER_SECONDS", 0.5)
    slow(dags)
    ours = dag_walk.Walk()
    assert walk(dags, ours) == ["finance/report.py"]
    assert any(re.search(r"sales is left out: TookTooLong: .* more than 0.5 s", line) for line in told)
    monkeypatch.setattr(ours, "_below", lambda path, *_: [] if path != dags / "sales" else pytest.fail("tried again"))
    walk(dags, ours)


def test_when_all_of_it_takes_too_long_what_was_found_before_holds(
    dags: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    ours = dag_walk.Walk()
    found = walk(dags, ours)
    monkeypatch.setattr(dag_walk, "WALK_SECONDS", -1.0)
    assert walk(dags, ours) == found and "what was found before" in told[0]


def test_of_two_ways_to_a_folder_its_own_path_is_taken(dags: Path, told: list[str]) -> None:
    """A link that comes first by name would give its DAGs another path."""
    (dags / "sales" / "v2").mkdir()
    (dags / "sales" / "v2" / "r.py").write_text("")
    (dags / "sales" / "latest").symlink_to("v2")
    assert (
        walk(dags) == ["finance/report.py", "sales/report.py", "sales/v2/r.py"] and "latest is not followed" in told[0]
    )
    (dags / "sales" / ".airflowignore").write_text("v2/\n")
    assert (
        walk(dags)
        == ["finance/report.py", "sales/latest/r.py", "sales/report.py"]
        == sorted(os.path.relpath(file, dags) for file in airflows_walk(dags))
    )


def test_a_folder_that_is_away_is_as_empty_as_for_airflow(tmp_path: Path) -> None:
    assert walk(tmp_path / "gone") == [] == airflows_walk(tmp_path / "gone")


def test_a_thousand_are_told_and_no_more(told: list[str]) -> None:
    for number in range(2 * dag_walk.MAX_TOLD):
        dag_walk._tell(f"{number}")
    assert len(told) == dag_walk.MAX_TOLD + 1 and told[-1] == "more is left out than is told here"


NAMES = st.sampled_from(["a", "b", "c.py", "d.py", ".airflowignore"])
PATTERNS = st.lists(st.sampled_from(["a", "b/", "*.py", "!c.py", "/a/b", "a/*", "!a/", "", "# x", "c*"]), max_size=4)


@given(
    files=st.dictionaries(st.lists(NAMES, min_size=1, max_size=4).map("/".join), PATTERNS, max_size=10),
    links=st.dictionaries(
        st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.sampled_from(["../out", "../../out"])
    ),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_where_airflow_comes_to_its_end_ours_finds_the_same(
    files: dict[str, list[str]], links: dict[str, str], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.rmtree(tmp_path, ignore_errors=True)
    (tmp_path / "out").mkdir(parents=True)
    (tmp_path / "out" / "e.py").write_text("")
    base.mkdir()
    for path, patterns in files.items():
        if not any((base / parent).is_file() for parent in Path(path).parents) and not (base / path).exists():
            (base / path).parent.mkdir(parents=True, exist_ok=True)
            (base / path).write_text("\n".join(patterns))
    for path, target in links.items():
        if (base / path).parent.is_dir() and not os.path.lexists(base / path):
            (base / path).symlink_to(target)
    try:
        expected = sorted(os.path.relpath(file, base) for file in airflows_walk(base) if file.endswith(".py"))
    except RuntimeError:
        walk(base)
        return
    assert walk(base) == expected


@pytest.mark.airflow
def test_a_linked_folder_that_was_merged_stops_nobody_elses_dags(dags: Path, tmp_path: Path) -> None:
    """On a real dag-processor: the merge, a neighbour's next change, the revert."""
    airflow = Airflow(tmp_path / "home", dags)
    install_policies(airflow.home / "config")
    airflow.migrate()
    with airflow.running("dag-processor") as processor:
        airflow.wait(lambda shown: {"finance_report", "sales_report"} <= set(shown), "both are seen", PATIENCE)
        linked(dags)
        (dags / "finance" / "report.py").write_text(dag("finance", "after the merge"))
        airflow.wait(lambda shown: shown["finance_report"].shows("after the merge"), "a neighbour's change", PATIENCE)
        shown = airflow.dags_shown()
        assert processor.poll() is None and not shown["finance_report"].stale and not shown["sales_report"].stale
        for link in ("again", "once_more", "common"):
            (dags / "sales" / link).unlink()
        (dags / "sales" / "report.py").write_text(dag("sales", "reverted"))
        airflow.wait(lambda shown: shown["sales_report"].shows("reverted"), "the revert", PATIENCE)
        assert processor.poll() is None
