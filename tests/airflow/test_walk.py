"""What a repository brings past every check: it ends Airflow's own walk, and with ours nobody else's DAGs stop."""

from __future__ import annotations

import os
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dag_walk
from scripts.local.airflow import FILES, Airflow
from scripts.local.waiting import PATIENCE
from tests.helpers.airflow_walk import GLOB, OWN, airflows_walk


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


def archive(dags: Path, flag: int = 0, size: int | None = None, method: int | None = None) -> None:
    """A zip whose directory says something that its reader does not expect."""
    with zipfile.ZipFile(dags / "sales" / "book.xlsx", "w") as book:
        book.writestr("airflow_dag.py", b"x")
    data = bytearray((dags / "sales" / "book.xlsx").read_bytes())
    central = data.index(b"PK\x01\x02")
    for at in (0, central):
        data[at + (6 if at == 0 else 8)] |= flag
        if method is not None:
            data[at + (8 if at == 0 else 10)] = method
    if size is not None:
        data[central + 24 : central + 28] = size.to_bytes(4, "little")
    (dags / "sales" / "book.xlsx").write_bytes(data)


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
ENDS_LATER: dict[str, Callable[[Path], None]] = {
    "an encrypted archive": lambda dags: archive(dags, flag=1),
    "an archive packed in an unknown way": lambda dags: archive(dags, method=99),
    "a name that is not UTF-8": lambda dags: (
        Path(os.fsdecode(os.fsencode(dags / "sales") + b"/caf\xe9.py")).write_text("") and None
    ),
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
    dag_walk._tell.cache_clear()
    monkeypatch.setattr(dag_walk.log, "error", lines.append)
    return lines


def walk(dags: Path) -> list[str]:
    """By our walk, from the DAGs folder."""
    return sorted(os.path.relpath(file, dags) for file in dag_walk.Walk(OWN)(dags, ".airflowignore", GLOB))


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
    assert len(told) >= 2 and any("sales" in line or "aaa" in line for line in told[1:])
    before = list(told)
    assert walk(dags) == found and told == before, "told once"


@pytest.mark.parametrize("spoil", ENDS_LATER.values(), ids=ENDS_LATER)
def test_a_file_that_ends_what_comes_after_the_walk_is_left_out(
    dags: Path, spoil: Callable[[Path], None], told: list[str]
) -> None:
    spoil(dags)
    assert walk(dags) == ["finance/report.py", "sales/report.py"]
    assert len(told) == 1 and "sales" in told[0]


def test_an_archive_that_grows_is_left_out_and_a_harmless_one_is_not(
    dags: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    archive(dags)
    assert "sales/book.xlsx" in walk(dags) and not told
    monkeypatch.setattr(dag_walk, "MAX_BYTES", 1000)
    archive(dags, size=1001)
    assert "sales/book.xlsx" not in walk(dags) and "unpacked" in told[0]


def test_what_an_unreadable_ignore_file_hid_is_not_run(dags: Path, told: list[str]) -> None:
    """Its folder alone goes: what lies beside it stays."""
    (dags / "sales" / "jobs").mkdir()
    (dags / "sales" / "jobs" / "load.py").write_text("")
    (dags / "sales" / "jobs" / ".airflowignore").write_bytes(b"[z-a]\n")
    assert walk(dags) == ["finance/report.py", "sales/report.py"]
    assert any("sales/jobs is left out" in line for line in told)


def test_the_ignore_file_of_nobodys_folder_takes_nobodys_dags(dags: Path, told: list[str]) -> None:
    (dags / ".airflowignore").write_bytes(b"finance/\n[z-a]\n")
    assert walk(dags) == ["finance/report.py", "sales/report.py"]
    assert any(f"{dags}/.airflowignore is not used" in line for line in told)


def test_a_pattern_that_takes_hours_is_ended_and_not_tried_at_each_walk(
    dags: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    monkeypatch.setattr(dag_walk, "CPU_SECONDS", 0.5)
    slow(dags)
    ours = dag_walk.Walk(OWN)
    found = [os.path.relpath(file, dags) for file in ours(dags, ".airflowignore", GLOB)]
    assert found == ["finance/report.py"] and "it took more than 0.5 s" in told[0]
    assert any(re.search(r"sales is left out: TookTooLong", line) for line in told)
    monkeypatch.setattr(
        dag_walk, "_rules", lambda folder, *_: [] if folder != dags / "sales" else pytest.fail("tried again")
    )
    assert [os.path.relpath(file, dags) for file in ours(dags, ".airflowignore", GLOB)] == ["finance/report.py"]


NAMES = st.sampled_from(["a", "b", "c.py", "d.py", ".airflowignore"])
PATTERNS = st.lists(st.sampled_from(["a", "b/", "*.py", "!c.py", "/a/b", "a/*", "!a/", "", "# x", "c*"]), max_size=4)


@given(
    files=st.dictionaries(st.lists(NAMES, min_size=1, max_size=4).map("/".join), PATTERNS, max_size=10),
    links=st.dictionaries(
        st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.sampled_from(["../out", "../../out", "a"])
    ),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_where_airflow_comes_to_its_end_nothing_changes_and_folder_by_folder_is_the_same(
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
        expected = sorted(airflows_walk(base))
    except RuntimeError:
        walk(base)
        return
    assert sorted(dag_walk.Walk(OWN)(base, ".airflowignore", GLOB)) == expected
    assert sorted(dag_walk.Walk(OWN)._by_folder(base, ".airflowignore", GLOB)) == expected


@pytest.mark.airflow
def test_a_linked_folder_that_was_merged_stops_nobody_elses_dags(dags: Path, tmp_path: Path) -> None:
    """On a real dag-processor: the merge, a neighbour's next change, the revert."""
    airflow = Airflow(tmp_path / "home", dags)
    for name in ("airflow_local_settings.py", "dag_job_pods.py", "dag_protocol.py", "dag_walk.py"):
        shutil.copy(FILES / name, airflow.home / "config")
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
