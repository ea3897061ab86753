"""What the sharing out of the suite names is there, and what is made once is used by one process alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import parts

ROOT = Path(__file__).parents[2]
USES = {
    "built": r"^def \w+\([^)]*\bbuilt\b",
    "rendered": r"\b(official|inventory|official_facts)\(\w+\)|charts\.RENDERS",
}
"""How a file shows that it needs what a unit makes once."""


def test_every_place_that_is_named_is_there() -> None:
    named = {*parts.TOGETHER, *parts.LONGEST} - set(parts.TOGETHER.values())
    assert not [place for place in named if not (ROOT / place).exists()]


@pytest.mark.parametrize("unit", USES)
def test_who_needs_what_is_made_once_is_in_its_unit(unit: str) -> None:
    files = {str(file.relative_to(ROOT)): file.read_text() for file in (ROOT / "tests").rglob("test_*.py")}
    users = {file for file, text in files.items() if re.search(USES[unit], text, re.MULTILINE)}
    assert users == {file for file in files if parts.unit(f"{file}::test") == unit}


def test_a_unit_is_a_file_or_what_belongs_together() -> None:
    assert parts.unit("tests/a/test_b.py::Class::test[x/y::z]") == "tests/a/test_b.py"


def test_times_are_summed_by_folder() -> None:
    def report(path: str, when: Any, seconds: float) -> pytest.TestReport:
        return pytest.TestReport(f"tests/{path}", (path, 0, ""), {}, "passed", None, when, duration=seconds)

    lines = parts.times(
        [report("a/b.py::x", "setup", 1), report("a/b.py::x", "call", 2), report("c/d.py::y", "setup", 4), "a warning"]
    )
    assert [line.split() for line in lines] == [
        ["4.0", "s", "1", "tests", "c"],
        ["3.0", "s", "1", "tests", "a"],
        ["7.0", "s", "2", "tests", "together"],
    ]
