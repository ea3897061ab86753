"""Each room imports only what docs/architecture.md lets it import, and no module imports itself through others."""

from __future__ import annotations

import graphlib
import re
from functools import cache
from pathlib import Path

import pytest

from scripts.pinned import ROOT
from tests.helpers.imports import graph

ROW = re.compile(r"^\| `(?P<room>[\w/.-]+)` \| [^|]+ \| (?P<may>[^|]+) \|$", re.MULTILINE)


@cache
def rooms() -> dict[str, set[str]]:
    """The table of docs/architecture.md: a room, and those that it may import."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    return {row["room"]: set(re.findall(r"`([^`]+)`", row["may"])) for row in ROW.finditer(text)}


def room_of(file: Path) -> str:
    """The room that a file is in: the longest that fits."""
    path = str(file.relative_to(ROOT))
    found = [room for room in rooms() if path == room or path.startswith(f"{room}/")]
    assert found, f"{path} is in no room of docs/architecture.md"
    return max(found, key=len)


def test_the_table_has_every_room_and_the_reader_sees_imports() -> None:
    assert {room for may in rooms().values() for room in may} <= rooms().keys()
    used = {room_of(file) for file in graph()}
    assert used == rooms().keys(), used ^ rooms().keys()
    edges = {(room_of(one), room_of(other)) for one, others in graph().items() for other in others}
    publisher, files = "packages/airflow_dag_publisher", "charts/airflow-platform/files"
    assert {("tests", "scripts/local"), (publisher, files), ("scripts/manage", files)} <= edges


@pytest.mark.parametrize("room", sorted(rooms()))
def test_a_room_imports_what_it_may(room: str) -> None:
    wrong = [
        f"{one.relative_to(ROOT)} imports {other.relative_to(ROOT)}"
        for one, others in graph().items()
        for other in others
        if room_of(one) == room and room_of(other) not in rooms()[room] | {room}
    ]
    assert wrong == []


def test_nothing_goes_round_in_a_circle() -> None:
    try:
        graphlib.TopologicalSorter(graph()).prepare()
    except graphlib.CycleError as error:
        circle = " -> ".join(str(Path(file).relative_to(ROOT)) for file in error.args[1])
        pytest.fail(f"these import each other: {circle}")
