"""Two years of nights on one bucket, with the rule that Terraform writes: no byte that somebody may need is ever deleted."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import dag_package
import dag_protocol as protocol
import dag_retention
from airflow_dag_publisher import publishing, restore, rollback
from dag_adopter import Adopter
from dag_package import Session
from dag_retention import Retention
from dag_store import Missing, PastVersion, StoreError
from scripts.local.memory_store import MARKER, Memory, Version
from scripts.local.packages import wanted

NIGHTS = 2 * 365
START = datetime(2026, 1, 1, tzinfo=UTC)


class AgingBucket(Memory):
    """A bucket in memory with a clock, object tags, and S3's noncurrent expiry by tag, age and number."""

    def __init__(self, retention: Retention) -> None:
        self.now = START
        self.written: dict[str, datetime] = {}
        self.tagged: set[str] = set()
        self.fail_after: int | None = None  # writes after which the credentials end
        self._numbers = itertools.count()
        super().__init__()
        self.write(MARKER, b'{"retention": {"days": %d, "versions": %d}}' % (retention.days, retention.versions))

    def write(self, key: str, data: bytes | None, tag: str | None = None) -> Version:
        version = replace(super().write(key, data, tag), version_id=f"v{next(self._numbers)}")
        self.objects[key] = (*self.objects[key][:-1], version)
        self.written[version.version_id] = self.now
        return version

    def put(self, key: str, data: bytes, tag: str | None = None, if_match: str | None = None) -> Any:
        if self.fail_after is not None:
            if self.fail_after == 0:
                raise StoreError("the credentials ended")
            self.fail_after -= 1
        return super().put(key, data, tag, if_match)

    def each_past(self, prefix: str) -> Iterator[PastVersion]:
        for version in self.past(prefix):
            yield replace(version, modified=self.written[version.version_id])

    def expire(self, key: str, version_id: str) -> None:
        self.tagged.add(version_id)

    def keep(self, key: str, version_id: str) -> None:
        self.tagged.discard(version_id)

    def copy_by_hand(self, key: str, version_id: str, to: str) -> None:
        """`aws s3api copy-object`: metadata and tags come along."""
        old = next(v for v in self.objects[key] if v.version_id == version_id)
        new = self.write(to, old.data, old.tag)
        if version_id in self.tagged:
            self.tagged.add(new.version_id)

    def apply_rule(self, retention: Retention) -> int:
        """What S3 does at midnight with the rule of terraform/modules/dag-bucket. Return how many versions went."""
        gone = 0
        for key, history in self.objects.items():
            kept = []
            for n, version in enumerate(history):
                newer = len(history) - 1 - n
                noncurrent = newer > 0
                since = self.now - self.written[history[n + 1].version_id] if noncurrent else timedelta()
                if (
                    noncurrent and version.version_id in self.tagged
                    and since >= timedelta(days=retention.days) and newer > retention.versions
                ):  # fmt: skip
                    gone += 1
                else:
                    kept.append(version)
            self.objects[key] = tuple(kept)
        return gone


def session_of(bucket: AgingBucket, counter: Iterator[int]) -> Session:
    def version() -> str:
        return f"{bucket.now:%Y%m%dT%H%M%SZ}-{next(counter):08x}"

    return Session(bucket, "dev", "sales", new_version=version, now=lambda: bucket.now, workers=1)


def bytes_of(session: Session, manifest: protocol.Manifest) -> dict[str, bytes]:
    return {f.path: session.store.get(session.prefix + f.path, 1 << 20, f.version_id)[0] for f in manifest.files}


def assert_nothing_lost(session: Session, retention: Retention, night: int) -> None:
    """The live version, the newest so many, and each that was live within the days."""
    live = dag_package.read_live(session)
    replaced: datetime | None = None
    for number, manifest in enumerate(dag_package.versions(session, live)):
        since = session.now() - replaced if replaced else timedelta()
        if number >= retention.versions and since > timedelta(days=retention.days):
            break
        try:
            bytes_of(session, manifest)
        except Missing as error:
            raise AssertionError(f"night {night}: version {number} from the newest lost bytes: {error}") from None
        replaced = datetime.fromisoformat(manifest.created)


def fail_half_way(bucket: AgingBucket, session: Session, files: dict[str, bytes], writes: int) -> None:
    bucket.fail_after = writes
    try:
        with pytest.raises(StoreError):
            publishing.make_live(session, lambda _: wanted(files))
    finally:
        bucket.fail_after = None


@pytest.mark.parametrize("retention", [Retention(365, 20), Retention(30, 20), Retention(90, 50)], ids=str)
def test_publishes_that_fail_each_night_never_cost_the_live_version(retention: Retention):
    """Adversary 1: night 367 of 365 days, night 32 of 30 days."""
    bucket, counter = AgingBucket(retention), itertools.count()
    session = session_of(bucket, counter)
    files = {f"f{n}.py": b"x = 0\n" for n in range(3)}
    publishing.make_live(session, lambda _: wanted(files))
    gone = 0
    for night in range(NIGHTS):
        bucket.now += timedelta(days=1)
        fail_half_way(bucket, session, {f"f{n}.py": b"x = %d\n" % (night + 1) for n in range(3)}, 2)
        dag_retention.expire(session, bucket, retention)
        gone += bucket.apply_rule(retention)
        assert_nothing_lost(session, retention, night)
    assert gone > 0, "the rule deletes what nobody needs, or the test shows nothing"
    assert rollback.contents(session, dag_package.read_live(session).files)["f0.py"].load() == b"x = 0\n"


def nights(rng: random.Random) -> dict[str, Callable[[AgingBucket, Session, int], None]]:
    """What happens in a night, each as people and programs do it."""

    def files(night: int) -> dict[str, bytes]:
        return {f"f{n}.py": b"x = %d\n" % (night if rng.random() < 0.5 else n) for n in range(3)}

    def publish(bucket: AgingBucket, session: Session, night: int) -> None:
        publishing.make_live(session, lambda _: wanted(files(night)))

    def failed(bucket: AgingBucket, session: Session, night: int) -> None:
        fail_half_way(bucket, session, {f"f{n}.py": b"failed %d" % night for n in range(3)}, rng.randrange(3))

    def refused_edit(bucket: AgingBucket, session: Session, night: int) -> None:
        bucket.write(session.prefix + "f0.py", b"PK\x05\x06" + b"\0" * 18 + b"%d" % night)
        Adopter(bucket, "dev").look(None)

    def edit(bucket: AgingBucket, session: Session, night: int) -> None:
        bucket.write(session.prefix + "f1.py", b"hand = %d\n" % night)
        Adopter(bucket, "dev").look(None)

    def copied(bucket: AgingBucket, session: Session, night: int) -> None:
        key = session.prefix + "f2.py"
        old = [v for v in bucket.objects.get(key, ()) if v.data is not None]
        if old:
            bucket.copy_by_hand(key, rng.choice(old).version_id, key)
            Adopter(bucket, "dev").look(None)

    def rolled_back(bucket: AgingBucket, session: Session, night: int) -> None:
        with contextlib.suppress(publishing.NothingToDo):
            rollback.rollback(session)

    def removed(bucket: AgingBucket, session: Session, night: int) -> None:
        publishing.remove(session)
        bucket.now += timedelta(days=rng.randrange(60))
        restore.restore(session)

    def quiet(bucket: AgingBucket, session: Session, night: int) -> None:
        pass

    return {w.__name__: w for w in (publish, failed, refused_edit, edit, copied, rolled_back, removed, quiet)}


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(n, marks=pytest.mark.exhaustive("publisher")) for n in range(1, 5))]
)
@pytest.mark.parametrize("retention", [Retention(30, 20), Retention(90, 20), Retention(365, 20)], ids=str)
def test_no_night_of_any_kind_loses_what_is_live_or_promised(retention: Retention, seed: int):
    rng = random.Random(seed)
    bucket, counter = AgingBucket(retention), itertools.count()
    session = session_of(bucket, counter)
    publishing.make_live(session, lambda _: wanted({"f0.py": b"x = 0\n"}))
    kinds = nights(rng)
    names = [*kinds, "failed", "failed", "quiet", "quiet"]
    begun = bucket.now
    night = 0
    while bucket.now - begun < timedelta(days=NIGHTS):
        night += 1
        bucket.now += timedelta(days=1)
        kinds[rng.choice(names)](bucket, session, night)
        dag_retention.expire(session, bucket, retention)
        bucket.apply_rule(retention)
        assert_nothing_lost(session, retention, night)


def test_a_rule_without_the_tag_would_lose_the_live_version():
    """So the simulation sees what it is there to see."""
    retention = Retention(30, 20)
    bucket, counter = AgingBucket(retention), itertools.count()
    session = session_of(bucket, counter)
    publishing.make_live(session, lambda _: wanted({"f0.py": b"x = 0\n"}))
    with pytest.raises(AssertionError, match="lost bytes"):
        for night in range(60):
            bucket.now += timedelta(days=1)
            fail_half_way(bucket, session, {"f0.py": b"x = %d\n" % night, "g.py": b""}, 1)
            bucket.tagged |= bucket.written.keys()
            bucket.apply_rule(retention)
            assert_nothing_lost(session, retention, night)


def test_a_history_with_a_gap_expires_nothing():
    bucket, counter = AgingBucket(Retention(30, 20)), itertools.count()
    session = session_of(bucket, counter)
    for n in range(30):
        bucket.now += timedelta(days=40)
        publishing.make_live(session, lambda _, n=n: wanted({"f0.py": b"x = %d\n" % n}))
    live = dag_package.read_live(session)
    third = list(dag_package.versions(session, live))[3]
    del bucket.objects[protocol.manifest_key("dev", "sales", third.version)]
    with pytest.raises(protocol.ProtocolError, match="gap"):
        dag_retention.expire(session, bucket, Retention(30, 20))
    assert not bucket.tagged


def test_a_marker_that_promises_nothing_expires_nothing():
    """The marker of an environment that was made before, or by hand."""
    bucket = AgingBucket(Retention(30, 20))
    for text in (b"{}", b'{"retention": 5}', b"[", b'{"retention": {"days": "x", "versions": 1}}'):
        bucket.write(MARKER, text)
        assert dag_retention.read_retention(bucket, "dev") == Retention(0, 0)


def test_a_live_copy_of_an_expired_object_outlives_the_version_that_adopted_it():
    """copy-object copies tags; later versions pin the copy on when nobody remembers that a person made it."""
    retention = Retention(30, 3)
    bucket, counter = AgingBucket(retention), itertools.count()
    session = session_of(bucket, counter)
    key = session.prefix + "a.py"

    def publish(text: bytes, other: int) -> None:
        files = {"a.py": text, "b.py": b"y = %d\n" % other}
        publishing.make_live(session, lambda _: wanted(files))

    def night() -> None:
        dag_retention.expire(session, bucket, retention)
        bucket.apply_rule(retention)

    publish(b"old\n", 0)
    old = bucket.objects[key][0].version_id
    for n in range(1, 4):
        bucket.now += timedelta(days=1)
        publish(b"x = %d\n" % n, 0)
    bucket.now += timedelta(days=60)
    night()
    assert old in bucket.tagged
    bucket.copy_by_hand(key, old, key)
    Adopter(bucket, "dev").look(None)
    copy = dag_package.read_live(session).files["a.py"].version_id
    assert copy in bucket.tagged
    for n in range(10):
        bucket.now += timedelta(days=10)
        publish(b"old\n", n)
        night()
    for n in range(6):
        bucket.now += timedelta(days=1)
        fail_half_way(bucket, session, {"a.py": b"z = %d\n" % n, "b.py": b"z = %d\n" % n}, 1)
        night()
    for _ in range(60):
        bucket.now += timedelta(days=1)
        night()
    assert dag_package.read_live(session).files["a.py"].version_id == copy
    assert any(v.version_id == copy for v in bucket.objects[key]), "the live version's bytes"


def test_a_history_without_end_expires_nothing_and_ends(monkeypatch: pytest.MonkeyPatch):
    """Times in manifests are their author's: a history of versions that are never old is not walked for ever."""
    monkeypatch.setattr(dag_retention, "MAX_VERSIONS", 10)
    bucket, counter = AgingBucket(Retention(30, 3)), itertools.count()
    session = replace(session_of(bucket, counter), now=lambda: START)
    for n in range(20):
        publishing.make_live(session, lambda _, n=n: wanted({"f0.py": b"x = %d\n" % n}))
    bucket.now += timedelta(days=400)
    late = replace(session, now=lambda: START)
    with pytest.raises(protocol.ProtocolError, match="nothing of it expires"):
        dag_retention.expire(late, bucket, Retention(30, 3))
    assert not bucket.tagged


def test_each_package_has_one_look_a_day(monkeypatch: pytest.MonkeyPatch):
    bucket = AgingBucket(Retention(30, 20))
    time = [0.0]
    monkeypatch.setattr(dag_retention.time, "monotonic", lambda: time[0])
    turns = dag_retention.Round(bucket, "dev")
    turns.packages = ["sales", "finance"]
    seen = []
    for _ in range(5):
        time[0] += 20
        result = turns.turn()
        seen.append(result and result[0])
    assert sorted(filter(None, seen)) == ["finance", "sales"]
    time[0] += dag_retention.PERIOD
    assert turns.turn() is not None
