"""Every step prefix of one program, and every interleaving of two with an edit by hand: nothing incoherent is served.

The programs are the real publisher and the real adopter; only the bucket is a model. `protocol-review`, section A,
lists what broke earlier protocols here.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any

import pytest

import dag_package
import dag_protocol as protocol
from airflow_dag_publisher import publishing, restore, rollback
from airflow_dag_publisher.publishing import Wanted
from dag_package import LostRace, Session
from dag_store import StoreError, Unanswered
from scripts.local.memory_store import MemoryStore
from tests.protocol.replay import Paused, Replay, Request

FILES = "dev/sales/dags/"
STATES_IN_PART = 6_000  # states of a pair, where not all are to be seen
RESTARTS = 0.02  # of the states that are chosen
CONTENTS = {
    "base": {"a.py": b"0", "b.py": b"0", "gone.py": b"0"},
    "before": {"a.py": b"9", "b.py": b"0", "gone.py": b"0"},
    "small": {"b.py": b"7"},  # pairs begin with one file: each more doubles the schedules
    "smaller": {"b.py": b"8"},
    "one": {"b.py": b"1", "new.py": b"1"},
    "two": {"b.py": b"2", "new.py": b"2"},
    "next": {"a.py": b"3", "b.py": b"3"},
}
EDITED, EDIT = "b.py", b"edited by hand"


def session(store: Any, name: str) -> Session:
    """A session of which every run makes the same choices."""
    numbers = iter(range(10_000))
    return Session(
        store, "dev", "sales", publisher=name, workers=1,
        new_version=lambda: f"20260101T000000Z-{protocol.sha256(name.encode())[:4]}{next(numbers):04x}",
        new_nonce=lambda: f"{name}-{next(numbers)}",
        now=lambda: datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def wanted(files: dict[str, bytes]) -> dict[str, Wanted]:
    return {path: Wanted(protocol.sha256(data), len(data), lambda data=data: data) for path, data in files.items()}


def publish(name: str, store: Any) -> None:
    publishing.make_live(session(store, name), lambda _: wanted(CONTENTS[name]))


def adopt(store: Any, name: str = "adopter") -> None:
    one = session(store, name)
    live = dag_package.read_live(one)
    dag_package.adopt(one, live, dag_package.survey(one, live, thorough=False))


PROGRAMS: dict[str, Callable[[Any], Any]] = {
    "publish one": partial(publish, "one"),
    "publish two": partial(publish, "two"),
    "rollback": lambda store: rollback.rollback(session(store, "back")),
    "remove": lambda store: publishing.remove(session(store, "remove")),
    "restore": lambda store: restore.restore(session(store, "restore")),
    "repair": lambda store: restore.repair(session(store, "mend")),
    "adopt": adopt,
}


@dataclass(frozen=True)
class Ended:
    """How a program ended: with None, or with the error that it told its user."""

    error: Exception | None


@pytest.fixture(autouse=True, scope="module")
def remembered_rules() -> Iterator[None]:
    """Remember what the pure rules said: the programs are replayed a hundred thousand times."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("decode_pointer", "decode_manifest", "check_path", "check_version", "sha256", "files_prefix"):
            patch.setattr(protocol, name, cache(getattr(protocol, name)))
        yield
    for numbered in (BUCKETS, ANSWERS):  # gigabytes, which would slow every collection of garbage from here on
        numbered.clear()
    check_bucket.cache_clear()


class Numbered:
    """Numbers for things, by what they say: states are compared millions of times."""

    def __init__(self) -> None:
        self.things: list[Any] = []
        self._numbers: dict[Any, int] = {}

    def clear(self) -> None:
        self.things.clear()
        self._numbers.clear()

    def number(self, key: Any, thing: Any) -> int:
        if key not in self._numbers:
            self._numbers[key] = len(self.things)
            self.things.append(thing)
        return self._numbers[key]


BUCKETS, ANSWERS = Numbered(), Numbered()


def number_of_bucket(store: MemoryStore) -> int:
    return BUCKETS.number(frozenset(store.objects.items()), store.fork())


def number_of_answer(answer: Any) -> int:
    return ANSWERS.number(repr(answer), answer)


@dataclass(frozen=True)
class State:
    """A bucket, the answers that each program was given, and what is still to come: the edit by hand, answers that get lost."""

    bucket: int
    answers: tuple[tuple[int, ...], ...]
    edit_to_come: bool
    losses_to_come: int

    @property
    def store(self) -> MemoryStore:
        return BUCKETS.things[self.bucket].fork()


def next_step(program: Callable[[Any], Any], answers: tuple[int, ...]) -> Request | Ended:
    """What a program does next, given the answers it got: programs have no other state."""
    try:
        program(Replay(tuple(ANSWERS.things[n] for n in answers)))
        return Ended(None)
    except Paused as paused:
        return paused.request
    except (StoreError, protocol.ProtocolError) as error:
        return Ended(error)


def commutes(request: Request) -> bool:
    """Whether no other program can notice when this request is made, so that one order stands for all.

    Pinned versions never change, and nobody knows a manifest's name before the pointer that follows it.
    """
    return "version_id" in dict(request.kwargs) or len(request.args) == 3 or request.args[0].startswith("manifests/")


def explore(
    store: MemoryStore,
    programs: list[Callable[[Any], Any]],
    edit: bool,
    losses: int = 0,
    most: int | None = None,
) -> Iterator[tuple[State, list[Ended | None]]]:
    """Yield every reachable state, with how each program ended (None: it has not).

    Args:
        store: the bucket at the start.
        programs: that run at once.
        edit: whether somebody edits a file by hand meanwhile.
        losses: so many writes get no answer at most, each of which may have arrived or not.
        most: states; of more than these a choice that is the same in every run.
    """
    todo = [State(number_of_bucket(store), ((),) * len(programs), edit, losses)]
    seen, chance = set(todo), random.Random(0)
    steps_of = [cache(partial(next_step, program)) for program in programs]

    def visit(state: State) -> None:
        if state not in seen:
            seen.add(state)
            todo.append(state)

    for _ in itertools.count() if most is None else range(most):
        if not todo:
            return
        if most is not None and chance.random() < RESTARTS:  # else all would be ends of one beginning
            other = chance.randrange(len(todo))
            todo[other], todo[-1] = todo[-1], todo[other]
        state = todo.pop()
        steps = [step(answers) for step, answers in zip(steps_of, state.answers, strict=True)]
        yield state, [s if isinstance(s, Ended) else None for s in steps]
        eager = next((n for n, step in enumerate(steps) if isinstance(step, Request) and commutes(step)), None)
        if state.edit_to_come and eager is None:
            after = state.store
            after.write(FILES + EDITED, EDIT)
            visit(replace(state, bucket=number_of_bucket(after), edit_to_come=False))
        for number, step in enumerate(steps):
            if isinstance(step, Ended) or (eager is not None and number != eager):
                continue
            mine = state.answers[number]
            after = state.store
            answer = step.send(after)
            bucket = number_of_bucket(after) if step.writes else state.bucket
            outcomes = [(bucket, answer, state.losses_to_come)]
            if state.losses_to_come and step.writes:
                left = state.losses_to_come - 1
                outcomes += [(bucket, Unanswered("lost"), left), (state.bucket, Unanswered("never arrived"), left)]
            for bucket, given, losses_left in outcomes:
                answers = (*state.answers[:number], (*mine, number_of_answer(given)), *state.answers[number + 1 :])
                visit(State(bucket, answers, state.edit_to_come, losses_left))


def base(*names: str) -> MemoryStore:
    store = MemoryStore()
    for name in names:
        publish(name, store)
    return store


def served(store: MemoryStore) -> dict[str, bytes] | None:
    """What a new pod serves, read and checked as dag-sync does. Raises if the live version cannot be read."""
    one = session(store, "reader")
    live = dag_package.read_live(one)
    if live.pointer is None or live.removed:
        return None
    result = {}
    for file in live.files.values():
        data, _ = store.get(FILES + file.path, 1000, file.version_id)
        assert protocol.sha256(data) == file.sha256, f"{file.path} is not what its manifest pins"
        result[file.path] = data
    return result


def coherent(files: dict[str, bytes] | None) -> bool:
    """Whether it is nothing, or exactly one of the published contents, with the edit by hand or without."""
    if files is None:
        return True
    return any(
        files.keys() == whole.keys() and all(files[p] == whole[p] or (p == EDITED and files[p] == EDIT) for p in files)
        for whole in CONTENTS.values()
    )


def adopted(store: MemoryStore) -> MemoryStore:
    """The bucket after the adopter's next pass, should every other program have died here."""
    after = store.fork()
    adopt(after, "a later pass")
    return after


@cache
def check_bucket(bucket: int) -> MemoryStore:
    """Assert that nothing incoherent is served, now and after the adopter's next pass; return the latter's bucket."""
    store = BUCKETS.things[bucket]
    assert coherent(served(store)), served(store)
    after = adopted(store)
    assert coherent(served(after)), served(after)
    return after


def in_some_version(store: MemoryStore, data: bytes) -> bool:
    one = session(store, "reader")
    return any(
        f.sha256 == protocol.sha256(data)
        for m in dag_package.versions(one, dag_package.read_live(one))
        for f in m.files
    )


def emptied(key: str) -> MemoryStore:
    """Two versions, and then somebody deletes an object by hand."""
    store = base("base", "before")
    store.write(key, None)
    return store


def with_a_removed_package() -> MemoryStore:
    store = base("base", "before")
    publishing.remove(session(store, "removed before"))
    return store


class Dies(MemoryStore):
    """The bucket of a program that dies before it writes a manifest."""

    def put(self, key: str, *args: Any, **kwargs: Any) -> Any:
        if key.startswith("manifests/"):
            raise SystemExit
        return super().put(key, *args, **kwargs)


def with_leftovers() -> MemoryStore:
    """Objects of a publish that never became live, beside the live ones."""
    store = base("base", "before")
    with pytest.raises(SystemExit):
        publish("two", Dies(store.objects))
    return store


POINTER = protocol.pointer_key("dev", "sales")
STARTS: dict[str, Callable[[], MemoryStore]] = {
    "two versions": lambda: base("base", "before"),
    "a pointer deleted by hand": lambda: emptied(POINTER),
    "a manifest deleted by hand": lambda: emptied(
        protocol.manifest_key("dev", "sales", session(None, "before").new_version())
    ),
    "a file deleted by hand": lambda: emptied(FILES + "a.py"),
    "a removed package": with_a_removed_package,
    "leftovers": with_leftovers,
}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("edit", [False, True], ids=["", "with an edit"])
def test_every_prefix_of_one_program_serves_whole_versions_and_the_next_publish_heals(
    program: str, edit: bool, start: str
) -> None:
    """kill -9 between any two requests, each answer lost or never sent, before and after the adopter's next pass."""
    states = 0
    bucket = STARTS[start]()
    removed = dag_package.read_live(session(bucket, "reader")).removed
    for state, (ended,) in explore(bucket, [PROGRAMS[program]], edit, losses=1):
        states += 1
        after = check_bucket(state.bucket).fork()
        publish("next", after)
        assert served(after) == CONTENTS["next"]
        one = session(after, "check")
        live = dag_package.read_live(one)
        found = dag_package.survey(one, live)
        assert {p: s.version_id for p, s in found.stored.items()} == {p: f.version_id for p, f in live.files.items()}
        if not state.edit_to_come and edit and "remove" not in program and not removed:
            assert in_some_version(after, EDIT), "the edit by hand was lost"
        assert not (ended and isinstance(ended.error, LostRace)), "there is nobody else"
        if ended and ended.error is None and not edit:
            assert_kept(program, state.store)
    assert states > 1


def assert_kept(program: str, store: MemoryStore) -> None:
    """Success was told: is it so?"""
    if program.startswith("publish"):
        assert served(store) == CONTENTS[program.split()[1]]
    if program == "remove":
        assert served(store) is None and not store.listing(FILES)
    if program in ("restore", "repair"):
        one = session(store, "reader")
        live = dag_package.read_live(one)
        found = dag_package.survey(one, live)
        assert {p: s.version_id for p, s in found.stored.items()} == {p: f.version_id for p, f in live.files.items()}
        assert live.etag and not live.damage
    if program == "restore":
        assert served(store) == CONTENTS["before"]


PAIRS = [
    ("publish one", "publish two"),
    ("publish one", "rollback"),
    ("publish one", "remove"),
    ("publish one", "adopt"),
    ("publish one", "repair"),
    ("rollback", "adopt"),
    ("rollback", "rollback"),
    ("remove", "adopt"),
    ("remove", "restore"),
]
MEANWHILE: dict[str, dict[str, Any]] = {
    "an edit": {"edit": True},
    "a lost answer": {"edit": False, "losses": 1},
    "an edit and a lost answer": {"edit": True, "losses": 1},
}


STATES_IN_FULL = {
    "an edit": None,
    "a lost answer": None,
    "an edit and a lost answer": 50_000,
}  # the last would be tens of millions


@pytest.mark.parametrize("meanwhile", MEANWHILE)
@pytest.mark.parametrize("pair", PAIRS, ids=" + ".join)
def test_every_interleaving_of_two_programs_serves_whole_versions(
    pair: tuple[str, str], meanwhile: str, in_full: Callable[[str], bool]
) -> None:
    """Exactly one of two concurrent publishers wins, nobody is told wrongly how it went, and no edit by hand is lost."""
    programs = [PROGRAMS[name] for name in pair]
    if pair[0] == pair[1]:
        programs[1] = lambda store: rollback.rollback(session(store, "other"))
    states = ends = 0
    most = STATES_IN_FULL[meanwhile] if in_full("protocol") else STATES_IN_PART
    for state, ended in explore(base("small", "smaller"), programs, most=most, **MEANWHILE[meanwhile]):
        states += 1
        after = check_bucket(state.bucket)
        if all(ended):
            ends += 1
            check_ends(pair, [e for e in ended if e], state, MEANWHILE[meanwhile].get("losses", 0))
            if MEANWHILE[meanwhile]["edit"] and not state.edit_to_come and "remove" not in pair:
                assert in_some_version(after, EDIT), "the edit by hand was lost"
    assert ends > 1
    print(f"{' + '.join(pair)}, {meanwhile}: {states} states, {ends} ends")


def check_ends(pair: tuple[str, str], ended: list[Ended], state: State, losses: int) -> None:
    """Somebody succeeded, and a publisher was live when it was told success, and never when it was told a lost race."""
    assert state.losses_to_come < losses or any(e.error is None for e in ended), (pair, [str(e) for e in ended])
    live = dag_package.read_live(session(state.store, "reader"))
    for name, end in zip(pair, ended, strict=True):
        if not name.startswith("publish"):
            continue
        was_live = session(None, name.split()[1]).new_version() in live.versions  # the first that it names is its own
        assert was_live or end.error is not None, f"{name} was told success and was never live"
        assert not was_live or not isinstance(end.error, LostRace), f"{name} was told a lost race and was live"


def test_a_first_publish_shows_nothing_until_its_pointer() -> None:
    """There is no manifest to compare with yet: tagged objects must not be taken for files put there by hand."""
    for state, _ in explore(MemoryStore(), [PROGRAMS["publish one"], PROGRAMS["publish two"]], edit=False):
        assert served(state.store) in (None, CONTENTS["one"], CONTENTS["two"])
        assert served(adopted(state.store)) in (None, CONTENTS["one"], CONTENTS["two"])


def test_publishing_over_files_put_there_by_hand_keeps_them_as_a_version() -> None:
    start = MemoryStore()
    for path, data in CONTENTS["base"].items():
        start.write(FILES + path, data)
    for state, (ended,) in explore(start, [PROGRAMS["publish one"]], edit=False):
        assert served(state.store) in (None, CONTENTS["base"], CONTENTS["one"])
        if ended:
            live = dag_package.read_live(session(state.store, "reader"))
            assert [m.kind for m in dag_package.versions(session(state.store, "reader"), live)] == ["publish", "adopt"]


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        (
            "orphans are not edits",
            lambda *args: "edit" if protocol_meaning(*args) == "orphan" else protocol_meaning(*args),
        ),
        ("a tag that was live is an edit", lambda *args: "live" if args[2] else protocol_meaning(*args)),
    ],
)
def test_the_model_notices_when_a_rule_is_broken(
    rule: str, broken: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the tag rule an interrupted publish goes live by the adopter, or a copy of an old version by hand is lost."""
    monkeypatch.setattr(protocol, "meaning", broken)
    wrong = 0
    for state, _ in explore(base("base", "before"), [PROGRAMS["publish one"]], edit=False):
        after = adopted(state.store)
        wrong += not coherent(served(after))
        old = after.objects[FILES + "b.py"][0]
        if served(after) == CONTENTS["one"]:
            after.write(FILES + "b.py", old.data, old.tag)  # `aws s3api copy-object` of an old version
            adopt(after, "after the copy")
            wrong += (served(after) or {}).get("b.py") != old.data
    assert wrong, rule


protocol_meaning = protocol.meaning
