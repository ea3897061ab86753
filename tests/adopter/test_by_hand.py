"""What people do with `aws s3 cp`, `copy-object` and `sync` goes live, whatever metadata comes along; what a publish left does not."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

import dag_adopter
import dag_package
import dag_protocol as protocol
from airflow_dag_publisher import publishing, restore
from dag_adopter import Adopter, Finding
from dag_store import S3Store
from scripts.local.memory_store import Memory
from scripts.local.packages import hand_make, publish, session, wanted, write
from scripts.local.s3_servers import S3Server

PREFIX = "dev/sales/dags/"


def look(store: Any) -> Finding:
    return next(f for f in Adopter(store, "dev").look(None)[1] if f.package == "sales")


def live(store: Any) -> dict[str, bytes]:
    found = dag_package.read_live(session(store))
    assert found.manifest
    return {f.path: store.get(PREFIX + f.path, 1 << 20, f.version_id)[0] for f in found.manifest.files}


def published(store: Any, versions: int) -> list[str]:
    """A package of that many versions; the version ids of its `a.py`, oldest first."""
    for n in range(versions):
        publish(store, {"a.py": b"x = %d\n" % n, "b.py": b"y = 1\n"})
    return [v.version_id for v in reversed(store.past(PREFIX + "a.py"))]


def copy_in_memory(memory: Memory, key: str, version_id: str) -> None:
    old = next(v for v in memory.objects[key] if v.version_id == version_id)
    memory.write(key, old.data, old.tag)


@pytest.mark.parametrize("versions", [2, 30, pytest.param(2_000, marks=pytest.mark.exhaustive("publisher"))])
@pytest.mark.parametrize("which", ["the first", "one in the middle"])
def test_a_copy_of_an_old_version_goes_live_however_old_it_is(which: str, versions: int, memory: Memory):
    """Adversary 3: the guide's copy-object, promised to be live within a minute, was called a leftover and deleted later."""
    ids = published(memory, versions)
    n = 0 if which == "the first" else versions // 2 - 1
    copy_in_memory(memory, PREFIX + "a.py", ids[n])
    assert look(memory).adopted and live(memory)["a.py"] == b"x = %d\n" % n
    publish(memory, {"a.py": b"x = 'next'\n"})
    kinds = [
        m.kind
        for m in itertools.islice(dag_package.versions(session(memory), dag_package.read_live(session(memory))), 2)
    ]
    assert kinds == ["publish", "adopt"], "it was a version before anything was put on top"


def test_a_file_whose_marker_was_removed_comes_back_from_before_the_pointers_memory(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(protocol, "MAX_LIVE_VERSIONS", 5)
    publish(memory, {"gone.py": b"g = 1\n", "a.py": b"x = 0\n"})
    published(memory, 12)
    memory.objects[PREFIX + "gone.py"] = memory.objects[PREFIX + "gone.py"][:1]
    assert look(memory).adopted and live(memory)["gone.py"] == b"g = 1\n"


@pytest.mark.parametrize("died", ["before its manifest", "after its manifest"])
def test_a_leftover_is_never_adopted_however_long_the_history(
    died: str, memory: Memory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(protocol, "MAX_LIVE_VERSIONS", 5)
    published(memory, 12)
    real = memory.put

    def put(key: str, *args: Any, **kwargs: Any) -> Any:
        if key.startswith("pointers/" if died.startswith("after") else "manifests/"):
            raise RuntimeError("killed")
        return real(key, *args, **kwargs)

    monkeypatch.setattr(memory, "put", put)
    with pytest.raises(RuntimeError):
        publish(memory, {"a.py": b"half\n", "b.py": b"y = 1\n"})
    monkeypatch.undo()
    finding = look(memory)
    assert finding.adopted is None and finding.orphans == ("a.py",) and live(memory)["a.py"] == b"x = 11\n"


@pytest.fixture(params=["moto", "gateway"])
def server(request: pytest.FixtureRequest) -> S3Server:
    found: S3Server = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("from_where", ["another package", "another environment", "another bucket"])
def test_a_copy_from_elsewhere_goes_live_with_the_metadata_that_it_has(
    from_where: str, server: S3Server, new_bucket: Any
):
    store: S3Store = new_bucket(server)
    published(store, 2)
    other: S3Store = new_bucket(server) if from_where == "another bucket" else store
    package = "finance" if from_where == "another package" else "sales"
    environment = "prod" if from_where == "another environment" else "dev"
    there = dag_package.Session(other, environment, package)
    publishing.make_live(there, lambda _: wanted({"a.py": b"x = 'copied'\n"}))
    source = {"Bucket": other.bucket, "Key": f"{environment}/{package}/dags/a.py"}
    store.client.copy_object(Bucket=store.bucket, Key=PREFIX + "a.py", CopySource=source)
    assert store.client.head_object(Bucket=store.bucket, Key=PREFIX + "a.py")["Metadata"][protocol.TAG]
    assert look(store).adopted and live(store)["a.py"] == b"x = 'copied'\n"


def test_copy_object_of_one_of_thirty_versions_on_a_real_server(server: S3Server, new_bucket: Any):
    store: S3Store = new_bucket(server)
    ids = published(store, 30)
    source = {"Bucket": store.bucket, "Key": PREFIX + "a.py", "VersionId": ids[3]}
    store.client.copy_object(Bucket=store.bucket, Key=PREFIX + "a.py", CopySource=source)
    assert look(store).adopted and live(store)["a.py"] == b"x = 3\n"


def test_a_sync_from_a_laptop_over_thirty_versions_goes_live(memory: Memory):
    published(memory, 30)
    for path, data in {"a.py": b"x = 3\n", "b.py": b"y = 2\n", "new/c.py": b"z = 1\n"}.items():
        write(memory, PREFIX + path, data)
    assert look(memory).adopted and live(memory) == {"a.py": b"x = 3\n", "b.py": b"y = 2\n", "new/c.py": b"z = 1\n"}


@pytest.mark.parametrize("tag", ["", "nonsense", "../../x", "20260101T000000Z-zzzzzzzz", "x" * 2000])
def test_an_object_with_a_tag_that_is_no_version_is_an_edit(tag: str, memory: Memory):
    published(memory, 1)
    write(memory, PREFIX + "a.py", b"x = 'tagged'\n", tag)
    assert look(memory).adopted and live(memory)["a.py"] == b"x = 'tagged'\n"


def test_a_refused_edit_is_still_there_after_the_next_publishes(memory: Memory):
    """Nothing that a person put there is deleted before it was a version; what cannot be one stays, and is told."""
    published(memory, 1)
    write(memory, PREFIX + "zipped.csv", b"PK\x05\x06" + b"\0" * 18)
    for n in range(2):
        outcome = publishing.make_live(session(memory), lambda _, n=n: wanted({"a.py": b"x = 'p%d'\n" % n}))
        assert "zipped.csv" in outcome.refused_edits and outcome.deleted in ([], ["b.py"])
    assert memory.current(PREFIX + "zipped.csv") is not None and live(memory) == {"a.py": b"x = 'p1'\n"}


def test_what_a_hostile_manifest_says_of_another_version_moves_nothing(memory: Memory):
    """A manifest by the name of a leftover's tag that pins something else makes it an edit of its own package, no more."""
    last = published(memory, 2) and dag_package.read_live(session(memory)).pointer
    assert last
    hand_make(
        memory, {"a.py": b"x = 7\n"}, manifest_bytes=b"{", pointer_changes={"removed": True}, previous=last.version
    )
    finding = look(memory)
    assert finding.adopted is None


def test_one_package_with_a_heap_of_objects_costs_the_adopter_a_page(memory: Memory):
    """Adversary 12a: a hundred thousand objects were read and kept twice."""
    for n in range(20_000):
        memory.write(f"dev/heap/dags/{n}.py", b"")
    published(memory, 1)
    pages: list[int] = []
    real = memory.page

    def page(prefix: str, after: str) -> Any:
        found = real(prefix, after)
        pages.append(len(found[0]))
        return found

    memory.page = page  # type: ignore[method-assign]
    before, findings = Adopter(memory, "dev").look({})
    assert {f.package: bool(f.problem) for f in findings} == {"heap": True, "sales": False}
    assert sum(pages) < 2 * protocol.MAX_FILES and all(len(digest) == 64 for digest in before.values())


def test_a_heap_with_any_names_is_stepped_over(memory: Memory):
    """A name behind the last character that there is was met again, for ever, and nobody's edits were looked at."""
    for n in range(protocol.MAX_FILES + 1):
        memory.write(f"dev/heap/dags/{n}.py", b"")
    for name in ("\U0010ffff", "\U0010ffffx", "\U0010ffff/\U0010ffff\U0010ffff"):
        memory.write(f"dev/heap/dags/{name}", b"")
    published(memory, 1)
    write(memory, PREFIX + "a.py", b"x = 'hand'\n")
    pages = 0
    real = memory.page

    def page(prefix: str, after: str) -> Any:
        nonlocal pages
        pages += 1
        assert pages < 20, "it goes round and round"
        return real(prefix, after)

    memory.page = page  # type: ignore[method-assign]
    assert look(memory).adopted


def test_a_package_of_too_many_bytes_is_refused_without_reading_them(memory: Memory, monkeypatch: pytest.MonkeyPatch):
    published(memory, 1)
    monkeypatch.setattr(dag_adopter, "MAX_BYTES", 1000)
    write(memory, PREFIX + "a.csv", b"," * 600)
    write(memory, PREFIX + "b.csv", b"," * 600)
    reads: list[str] = []
    real = memory.get
    memory.get = lambda key, *more: (reads.append(key), real(key, *more))[1]  # type: ignore[method-assign,func-returns-value]
    assert "more bytes" in look(memory).problem and not [key for key in reads if key.endswith(".csv")]


def test_one_file_over_its_limit_is_refused_without_reading_it(memory: Memory):
    published(memory, 1)
    write(memory, PREFIX + "big.py", b"#" * (protocol.MAX_PYTHON_BYTES + 1))
    reads: list[str] = []
    real = memory.get
    memory.get = lambda key, *more: (reads.append(key), real(key, *more))[1]  # type: ignore[method-assign,func-returns-value]
    assert "big.py" in look(memory).refused and PREFIX + "big.py" not in reads


def test_a_live_file_that_is_not_current_is_counted(memory: Memory):
    """The value that an alert needs: such bytes are kept by nothing but retention."""
    for n in range(4):
        publish(memory, {f"{name}.py": b"x = %d\n" % n for name in ("covered", "deleted", "refused", "fine")})
    memory.write(PREFIX + "covered.py", b"half\n", protocol.new_version())
    memory.write(PREFIX + "deleted.py", None)
    memory.write(PREFIX + "refused.py", b"PK\x05\x06" + b"\0" * 18)
    finding = look(memory)
    assert finding.noncurrent == ("covered.py", "deleted.py", "refused.py")
    metrics = dag_adopter.Metrics()
    metrics.findings = [finding, Finding('x"} 1\n', noncurrent=("a",))]
    assert 'dag_adopter_live_objects_noncurrent{package="sales"} 3' in metrics.text().splitlines()
    assert not any(line.startswith("dag_adopter_") and "x" + '"' in line for line in metrics.text().splitlines())
    restore.repair(session(memory))
    assert look(memory).noncurrent == ()
