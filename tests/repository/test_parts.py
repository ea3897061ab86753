"""What the sharing out of the suite names is there, and what belongs together goes to one process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.helpers import parts

ROOT = Path(__file__).parents[2]


class Config:
    """Of a session with a cluster of somebody's, or without."""

    def __init__(self, kubeconfig: str | None = None) -> None:
        self.kubeconfig = kubeconfig

    def getoption(self, name: str) -> Any:
        return getattr(self, name)


@pytest.fixture(autouse=True)
def no_cluster_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)


def test_every_file_that_is_named_is_there() -> None:
    named = {*parts.TOGETHER, *parts.LONGEST} - set(parts.TOGETHER.values())
    assert not [file for file in named if not (ROOT / file).is_file()]


def test_every_file_that_uses_what_terraform_built_is_in_one_unit() -> None:
    users = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "tests/terraform").glob("test_*.py")
        if "(built," in file.read_text() or "aws, built" in file.read_text()
    }
    assert users == {file for file, unit in parts.TOGETHER.items() if unit == "built"}


@pytest.mark.parametrize("kubeconfig", [None, "/home/somebody/config"])
def test_a_cluster_that_was_given_is_used_by_one_process(kubeconfig: str | None) -> None:
    files = ("tests/cluster/test_a.py::test_a", "tests/cluster/test_b.py::test_b[x::y]")
    assert len({parts.unit(file, Config(kubeconfig)) for file in files}) == (1 if kubeconfig else 2)  # type: ignore[arg-type]


def test_times_are_summed_by_folder() -> None:
    def report(path: str, when: Any, seconds: float) -> pytest.TestReport:
        return pytest.TestReport(f"tests/{path}", (path, 0, ""), {}, "passed", None, when, duration=seconds)

    lines = parts.times(
        [
            report("a/b.py::x", "setup", 1.0),
            report("a/b.py::x", "call", 2.0),
            report("c/d.py::y", "setup", 4.0),
            "a warning",
        ]
    )
    assert [line.split() for line in lines] == [
        ["4.0", "s", "1", "tests", "c"],
        ["3.0", "s", "1", "tests", "a"],
        ["7.0", "s", "2", "tests", "together"],
    ]
