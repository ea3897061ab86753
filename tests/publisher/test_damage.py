"""Pointers and manifests that were damaged by hand: there is always a way back, and it is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import dag_package
import dag_protocol as protocol
from airflow_dag_publisher import comparing, publishing, restore, rollback
from dag_adopter import Adopter
from scripts.local.memory_store import Memory
from scripts.local.packages import publish, session, wanted

ONE, TWO, THREE = ({"a.py": b"x = %d\n" % n, "b.py": b"y = 1\n"} for n in (1, 2, 3))
POINTER = protocol.pointer_key("dev", "sales")


def pointer_overwritten(store: Memory) -> None:
    store.write(POINTER, b"{not JSON")


def pointer_deleted(store: Memory) -> None:
    store.write(POINTER, None)


def pointer_overwritten_then_deleted(store: Memory) -> None:
    pointer_overwritten(store)
    pointer_deleted(store)


def manifest_deleted(store: Memory) -> None:
    live = dag_package.read_live(session(store))
    store.write(protocol.manifest_key("dev", "sales", live.versions[0]), None)


def manifest_overwritten(store: Memory) -> None:
    live = dag_package.read_live(session(store))
    store.write(protocol.manifest_key("dev", "sales", live.versions[0]), b"{}")


DAMAGES = [
    pointer_overwritten,
    pointer_deleted,
    pointer_overwritten_then_deleted,
    manifest_deleted,
    manifest_overwritten,
]


@pytest.fixture(params=DAMAGES, ids=lambda d: d.__name__)
def damaged(request: pytest.FixtureRequest) -> Memory:
    store = Memory()
    publish(store, ONE)
    publish(store, TWO)
    request.param(store)
    return store


def contents(store: Memory) -> dict[str, bytes]:
    live = dag_package.read_live(session(store))
    assert not live.damage
    return {f.path: store.get("dev/sales/dags/" + f.path, 1000, f.version_id)[0] for f in live.files.values()}


def test_repair_mends_it_with_what_was_live(damaged: Memory):
    """With the manifest gone its files are still there, and count as edits of the version before."""
    restore.repair(session(damaged))
    assert contents(damaged) == TWO


def test_a_publish_mends_it_and_can_be_rolled_back(damaged: Memory):
    publish(damaged, THREE)
    assert contents(damaged) == THREE
    rollback.rollback(session(damaged))
    assert contents(damaged)["a.py"] in (ONE["a.py"], TWO["a.py"])


def test_publishing_the_same_again_mends_it_too(damaged: Memory):
    publish(damaged, TWO)
    assert contents(damaged) == TWO


@pytest.mark.parametrize("command", [rollback.rollback, restore.restore, publishing.remove])
def test_no_command_is_locked_out(damaged: Memory, command: Callable[..., Any]):
    command(session(damaged))
    assert not dag_package.read_live(session(damaged)).damage


def test_it_is_told_by_diff_and_by_the_adopter_which_leaves_it_alone(damaged: Memory):
    assert comparing.drift(session(damaged)).damage
    before = dict(damaged.objects)
    (finding,) = Adopter(damaged, "dev").look(None)[1]
    assert "repair" in finding.problem and damaged.objects == before


def test_a_pointer_without_any_readable_past_says_what_to_do():
    store = Memory()
    store.write(POINTER, b"nonsense")
    with pytest.raises(protocol.ProtocolError, match=r"pointers/dev/sales\.json.*delete that object, then publish"):
        dag_package.read_live(session(store))
    store.write(POINTER, None)
    publish(store, ONE)
    assert contents(store) == ONE


def test_a_rollback_passes_over_versions_that_say_the_same():
    """Else the command for an emergency would change nothing, visibly done."""
    store = Memory()
    publish(store, ONE)
    publish(store, TWO)
    publishing.make_live(session(store), lambda _: wanted(TWO), "repair")
    rollback.rollback(session(store))
    assert contents(store) == ONE
    with pytest.raises(publishing.NothingToDo, match="nothing to go back to"):
        rollback.rollback(session(store))


@pytest.mark.parametrize(
    "again", [restore.restore, lambda s: rollback.rollback(s, dag_package.read_live(s).versions[0])]
)
def test_what_is_live_already_makes_no_version(again: Callable[..., Any]):
    store = Memory()
    publish(store, ONE)
    before = dict(store.objects)
    assert not again(session(store)).changed
    assert store.objects == before
