"""What a publisher writes, and in which order; what it refuses to send; whom it tells what."""

from __future__ import annotations

from typing import Any

import pytest

import dag_package
import dag_protocol as protocol
from airflow_dag_publisher import publishing, restore
from airflow_dag_publisher.publishing import Wanted
from dag_package import LostRace
from dag_store import Conflict, Missing, StoreError, Unanswered
from scripts.local.memory_store import Memory
from scripts.local.packages import publish, session, wanted, write

ONE, TWO = {"a.py": b"x = 1\n", "b.py": b"y = 1\n"}, {"a.py": b"x = 2\n", "c.py": b"z = 2\n"}
PREFIX = protocol.files_prefix("dev", "sales")
POINTER = protocol.pointer_key("dev", "sales")


def contents(store: Memory, key: str) -> bytes | None:
    found = store.current(key)
    return found.data if found else None


def live(store: Memory) -> dict[str, bytes]:
    files = dag_package.read_live(session(store)).files
    return {path: store.get(PREFIX + path, 1 << 20, file.version_id)[0] for path, file in files.items()}


class Recorded(Memory):
    """Remembers which keys were written, and breaks what it is told to."""

    def __init__(self, *arguments: Any) -> None:
        self.calls: list[tuple[str, str]] = []
        self.before: Any = lambda *_: None
        super().__init__(*arguments)

    def put(self, key: str, *arguments: Any, **more: Any) -> Any:
        self.before("put", key)
        self.calls.append(("put", key))
        return super().put(key, *arguments, **more)

    def delete(self, key: str, if_match: str) -> None:
        self.before("delete", key)
        self.calls.append(("delete", key))
        super().delete(key, if_match)


def test_files_come_first_then_delete_markers_then_the_manifest_and_the_pointer_last():
    """Who reads the bucket without the pointers never misses a file that is being replaced; a manifest is of what is there."""
    store = Recorded()
    publish(store, ONE)
    store.calls.clear()
    version = publish(store, TWO)
    assert sorted(store.calls[:2]) == [("put", PREFIX + "a.py"), ("put", PREFIX + "c.py")]
    assert store.calls[2:] == [
        ("delete", PREFIX + "b.py"), ("put", protocol.manifest_key("dev", "sales", version)), ("put", POINTER)
    ]  # fmt: skip


def test_a_removal_is_in_the_pointer_before_any_object_goes():
    store = Recorded()
    publish(store, ONE)
    store.calls.clear()
    publishing.remove(session(store))
    assert store.calls[0] == ("put", POINTER) and {call for call, _ in store.calls[1:]} == {"delete"}


def test_a_file_that_changed_between_reading_and_sending_goes_nowhere():
    """Its digest is in the manifest: other bytes under it would be refused by every dag-sync."""
    store = Memory()
    publish(store, ONE)
    changed = Wanted(protocol.sha256(b"x = 2\n"), 6, lambda: b"x = 3\n")
    with pytest.raises(protocol.ProtocolError, match=r"a\.py: changed while it was being published"):
        publishing.make_live(session(store), lambda _: {**wanted(ONE), "a.py": changed})
    assert contents(store, PREFIX + "a.py") == ONE["a.py"] and live(store) == ONE


def test_the_pointer_goes_back_five_versions_and_begins_with_the_one_before():
    store = Memory()
    names = [publish(store, {"a.py": b"x = %d\n" % number}) for number in range(8)]
    pointer = dag_package.read_live(session(store)).pointer
    assert pointer and [ref.version for ref in pointer.candidates] == names[:1:-1]
    assert pointer.live_versions == tuple(reversed(names))
    for ref in pointer.candidates:
        dag_package.read_manifest(session(store), ref)


def test_of_a_long_history_the_newest_versions_stay(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol, "MAX_LIVE_VERSIONS", 7)
    store = Memory()
    names = [publish(store, {"a.py": b"x = %d\n" % number}) for number in range(9)]
    assert dag_package.read_live(session(store)).versions == tuple(reversed(names))[:7]


def test_an_edit_that_comes_while_a_publish_sends_is_a_version_of_its_own():
    """The last look before the commit."""
    store = Recorded()
    publish(store, ONE)
    edited: list[int] = []

    def edit(call: str, key: str) -> None:
        if call == "delete" and not edited:
            edited.append(1)
            write(store, PREFIX + "a.py", b"x = 'by hand'\n")

    store.before = edit
    publish(store, TWO)
    kinds = [manifest.kind for manifest in dag_package.versions(session(store), dag_package.read_live(session(store)))]
    assert edited and kinds == ["publish", "adopt", "publish"] and live(store) == TWO
    assert contents(store, PREFIX + "a.py") == TWO["a.py"]


def test_a_rival_that_became_live_while_this_one_looked_again_is_told():
    """An edit makes a publisher look again; what became live meanwhile is not built on in silence."""
    store = Recorded()
    publish(store, ONE)
    rival: list[str] = []

    def overtake(call: str, key: str) -> None:
        if call == "delete" and not rival:
            rival.append("")
            store.before = lambda *_: None
            rival[0] = publish(store, {"a.py": b"x = 'rival'\n"})

    store.before = overtake
    with pytest.raises(LostRace, match="became live first by test"):
        publish(store, TWO)
    assert rival and live(store) == {"a.py": b"x = 'rival'\n"}


def test_a_remove_that_lost_the_race_deletes_nothing():
    store = Recorded()
    publish(store, ONE)

    def overtake(call: str, key: str) -> None:
        if key == POINTER:
            store.before = lambda *_: None
            publish(store, TWO)

    store.before = overtake
    with pytest.raises(LostRace):
        publishing.remove(session(store))
    assert live(store) == TWO and not dag_package.read_live(session(store)).removed
    assert set(store.listing(PREFIX)) == {PREFIX + path for path in TWO}


def test_a_removed_package_stays_removed_when_it_is_removed_again_over_an_edit():
    store = Recorded()
    publish(store, ONE)
    publishing.remove(session(store))
    write(store, PREFIX + "a.py", b"x = 'by hand'\n")
    store.calls.clear()
    publishing.remove(session(store))
    assert store.calls == [("delete", PREFIX + "a.py")], "no version of the edit was live in between"


def test_files_are_restored_from_the_newest_version_that_has_them():
    store = Memory()
    publish(store, {"a.py": b"x = 1\n", "b.py": b"old\n"})
    publish(store, {"a.py": b"x = 2\n", "b.py": b"new\n"})
    publish(store, {"c.py": b"z = 3\n", "a.py": b"x = 3\n"})
    restore.restore(session(store), ("a.py", "b.py"))
    assert live(store) == {"a.py": b"x = 3\n", "b.py": b"new\n", "c.py": b"z = 3\n"}
    publish(store, {"d.py": b"d = 4\n"})
    restore.restore(session(store), ("a.py", "b.py"))
    assert live(store) == {"a.py": b"x = 3\n", "b.py": b"new\n", "d.py": b"d = 4\n"}


def test_two_edits_in_a_row_are_pinned_with_their_own_bytes():
    """The second comes between the look at the first and its reading."""
    store = Memory()
    publish(store, ONE)
    first = write(store, PREFIX + "a.py", b"x = 'first'\n")
    real = store.get

    def get(key: str, limit: int, version_id: str | None = None) -> Any:
        if version_id == first or (key == PREFIX + "a.py" and version_id is None):
            store.get = real  # type: ignore[method-assign]
            write(store, PREFIX + "a.py", b"x = 'second'\n")
        return real(key, limit, version_id)

    store.get = get  # type: ignore[method-assign]
    now = dag_package.read_live(session(store))
    found = dag_package.survey(session(store), now)
    assert found.edits["a.py"].version_id == first
    assert found.edits["a.py"].sha256 == protocol.sha256(b"x = 'first'\n")


@pytest.mark.parametrize("document", ["manifests/", "pointers/"])
def test_a_lost_answer_to_a_document_that_arrived_is_success(document: str):
    store = Recorded()
    publish(store, ONE)
    real, lost = store.put, list[str]()

    def put(key: str, *arguments: Any, **more: Any) -> Any:
        answer = real(key, *arguments, **more)
        if key.startswith(document) and not lost:
            lost.append(key)
            raise Unanswered("no answer")
        return answer

    store.put = put  # type: ignore[method-assign]
    version = publish(store, TWO)
    assert lost and live(store) == TWO and dag_package.read_live(session(store)).versions[0] == version


@pytest.mark.parametrize("error", [Conflict("no"), Missing("no")])
def test_a_package_that_is_written_all_the_time_is_told_as_such(error: StoreError):
    store = Recorded()
    publish(store, ONE)

    def conflict(call: str, key: str) -> None:
        if key.startswith(PREFIX):
            raise error

    store.before = conflict
    with pytest.raises(StoreError, match="was written 10 times while this ran"):
        publish(store, TWO)
    assert live(store) == ONE
