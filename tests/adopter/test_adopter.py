"""The operations guide's own commands, done with boto3 on a real server, go live; nothing else does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dag_adopter
import dag_package
import dag_protocol as protocol
from airflow_dag_publisher import publishing, restore
from dag_adopter import Adopter, Finding
from dag_store import S3Store, StoreError
from scripts.local.memory_store import Memory
from scripts.local.packages import publish, session, write
from scripts.local.s3_servers import S3Server
from scripts.local.waiting import PATIENCE, wait_for
from scripts.pinned import ROOT

ONE, TWO = {"a.py": b"x = 1\n", "b.py": b"y = 1\n"}, {"a.py": b"x = 2\n", "c.py": b"z = 2\n"}
PREFIX = "dev/sales/dags/"


@pytest.fixture(params=["moto", "gateway"])
def store(request: pytest.FixtureRequest, new_bucket: Callable[[S3Server], S3Store]) -> S3Store:
    return new_bucket(request.getfixturevalue(request.param))


def live(store: Any, package: str = "sales") -> dict[str, bytes] | None:
    """What is served, by the documents."""
    one = session(store, package)
    found = dag_package.read_live(one)
    if found.manifest is None or found.removed:
        return None
    prefix = protocol.files_prefix("dev", package)
    return {f.path: store.get(prefix + f.path, 1 << 20, f.version_id)[0] for f in found.manifest.files}


def kinds(store: Any, package: str = "sales") -> list[str]:
    one = session(store, package)
    return [m.kind for m in dag_package.versions(one, dag_package.read_live(one))]


def look(store: Any, **more: Any) -> dict[str, Finding]:
    """One pass that adopts at once."""
    return {f.package: f for f in Adopter(store, "dev", **more).look(None)[1]}


def versions_of(store: S3Store, path: str) -> list[str]:
    return [v.version_id for v in store.past(PREFIX + path) if not v.deleted]


def test_a_file_copied_by_hand_goes_live_with_the_rest(store: S3Store):
    publish(store, ONE)
    write(store, PREFIX + "new.py", b"n = 1\n")
    write(store, PREFIX + "a.py", b"x = 7\n")
    finding = look(store)["sales"]
    assert finding.edits == ("a.py", "new.py") and finding.adopted
    assert live(store) == {**ONE, "a.py": b"x = 7\n", "new.py": b"n = 1\n"} and kinds(store) == ["adopt", "publish"]
    assert look(store)["sales"].quiet, "the second pass must have nothing to do"


def test_copy_object_of_an_old_version_goes_live(store: S3Store):
    """The copy keeps the metadata of the version that it is of: a tag that was live."""
    publish(store, ONE)
    publish(store, {**ONE, "a.py": b"x = 2\n"})
    old = versions_of(store, "a.py")[-1]
    store.client.copy_object(
        Bucket=store.bucket, Key=PREFIX + "a.py",
        CopySource={"Bucket": store.bucket, "Key": PREFIX + "a.py", "VersionId": old},
    )  # fmt: skip
    assert look(store)["sales"].adopted
    assert live(store) == ONE and kinds(store) == ["adopt", "publish", "publish"]


def test_a_removed_delete_marker_brings_the_file_back(store: S3Store):
    publish(store, ONE)
    publish(store, {"a.py": ONE["a.py"]})
    marker = next(v.version_id for v in store.past(PREFIX + "b.py") if v.deleted)
    store.client.delete_object(Bucket=store.bucket, Key=PREFIX + "b.py", VersionId=marker)
    assert look(store)["sales"].edits == ("b.py",)
    assert live(store) == ONE


def test_a_package_that_never_used_the_tool_goes_live(store: S3Store):
    for path, data in ONE.items():
        write(store, PREFIX + path, data)
    assert look(store)["sales"].adopted and live(store) == ONE and kinds(store) == ["adopt"]
    publish(store, TWO)
    assert live(store) == TWO


def test_two_listings_must_agree(store: S3Store):
    """`aws s3 sync` of 20 files is not atomic."""
    publish(store, ONE)
    adopter = Adopter(store, "dev")
    before, _ = adopter.look({})
    write(store, PREFIX + "a.py", b"x = 8\n")
    before, [finding] = adopter.look(before)
    assert finding.waiting and not finding.adopted and live(store) == ONE
    write(store, PREFIX + "b.py", b"y = 8\n")
    before, [finding] = adopter.look(before)
    assert finding.waiting and live(store) == ONE
    before, [finding] = adopter.look(before)
    assert finding.adopted and live(store) == {"a.py": b"x = 8\n", "b.py": b"y = 8\n"}
    assert kinds(store) == ["adopt", "publish"]


def test_two_listings_must_agree_on_contents_too(memory: Memory):
    """`aws s3 sync` over files that are there."""
    publish(memory, ONE)
    adopter = Adopter(memory, "dev")
    write(memory, PREFIX + "a.py", b"x = 'half'\n")
    before, (first,) = adopter.look({})
    write(memory, PREFIX + "b.py", b"y = 'other half'\n")
    before, (second,) = adopter.look(before)
    assert first.waiting and second.waiting and live(memory) == ONE
    _, (third,) = adopter.look(before)
    assert third.adopted and live(memory) == {"a.py": b"x = 'half'\n", "b.py": b"y = 'other half'\n"}


def test_what_happens_to_the_pointer_alone_is_told_at_the_next_pass(memory: Memory):
    publish(memory, ONE)
    write(memory, PREFIX + "left.py", b"", "20260101T000000Z-00000000")
    adopter = Adopter(memory, "dev")
    before, (first,) = adopter.look({})
    assert first.orphans == ("left.py",) and not first.problem
    memory.write(protocol.pointer_key("dev", "sales"), b"{")
    _, (second,) = adopter.look(before)
    assert "not JSON" in second.problem


def test_an_old_version_of_a_file_copied_back_by_hand_goes_live_after_many_others(memory: Memory):
    publish(memory, ONE)
    [old] = memory.objects[PREFIX + "a.py"]
    for number in range(2, 10):
        publish(memory, {**ONE, "a.py": b"x = %d\n" % number})
    memory.write(PREFIX + "a.py", old.data, old.tag)
    assert look(memory)["sales"].adopted and live(memory) == ONE


def test_a_deletion_by_hand_is_told_and_not_applied(store: S3Store):
    publish(store, ONE)
    store.client.delete_object(Bucket=store.bucket, Key=PREFIX + "b.py")
    finding = look(store)["sales"]
    assert finding.deleted == ("b.py",) and not finding.adopted and live(store) == ONE
    write(store, PREFIX + "a.py", b"x = 9\n")
    assert look(store)["sales"].adopted and live(store) == {"a.py": b"x = 9\n", "b.py": b"y = 1\n"}


def test_deleting_every_file_by_hand_is_told_too(store: S3Store):
    publish(store, ONE)
    for path in ONE:
        store.client.delete_object(Bucket=store.bucket, Key=PREFIX + path)
    findings = look(store)
    assert findings["sales"].deleted == ("a.py", "b.py") and live(store) == ONE


def test_files_of_a_publish_that_never_became_live_are_never_adopted(store: S3Store):
    publish(store, ONE)
    write(store, PREFIX + "a.py", b"x = 'half'\n", "20260101T000000Z-00000000")
    write(store, PREFIX + "new.py", b"half\n", "20260101T000000Z-00000000")
    finding = look(store)["sales"]
    assert set(finding.orphans) == {"a.py", "new.py"} and not finding.adopted and live(store) == ONE


def test_a_first_publish_under_way_is_left_alone(store: S3Store):
    write(store, PREFIX + "a.py", b"x = 1\n", "20260101T000000Z-00000000")
    write(store, PREFIX + "hand.py", b"x = 1\n")
    finding = look(store)["sales"]
    assert "no pointer" in finding.problem and live(store) is None


def test_a_removed_package_stays_removed_whatever_is_put_there(store: S3Store):
    publish(store, ONE)
    publishing.remove(session(store))
    write(store, PREFIX + "a.py", b"x = 'by hand'\n")
    finding = look(store)["sales"]
    assert not finding.adopted and not finding.edits and live(store) is None
    restore.restore(session(store))
    assert live(store) == ONE


def test_a_pointer_deleted_by_hand_is_told_and_its_tagged_files_left_alone(store: S3Store):
    publish(store, ONE)
    publish(store, {**ONE, "a.py": b"x = 2\n"})
    store.client.delete_object(Bucket=store.bucket, Key=protocol.pointer_key("dev", "sales"))
    finding = look(store)["sales"]
    assert "pointer" in finding.problem and protocol.pointer_key("dev", "sales") not in store.listing("pointers/")
    try:
        publish(store, TWO)
    except StoreError as error:  # versitygw: see test_two_publishers_over_a_deleted_pointer_never_both_win
        assert "remove the marker" in str(error)
        marker = next(v for v in store.past(protocol.pointer_key("dev", "sales")) if v.deleted)
        store.client.delete_object(Bucket=store.bucket, Key=marker.key, VersionId=marker.version_id)
        publish(store, TWO)
    assert live(store) == TWO and kinds(store) == ["publish", "publish", "publish"], "the history was lost"


def test_two_publishers_over_a_deleted_pointer_never_both_win(store: S3Store, monkeypatch: pytest.MonkeyPatch):
    """Adversary 4: both heard "published", and one was not in the history."""
    publish(store, ONE)
    store.client.delete_object(Bucket=store.bucket, Key=protocol.pointer_key("dev", "sales"))
    rival: list[str] = []
    real = dag_package.move_pointer

    def move_pointer(*args: Any) -> Any:
        if not rival:
            rival.append("")
            try:
                rival[0] = publish(store, {"a.py": b"x = 'rival'\n"})
            except StoreError:
                rival[0] = "refused"
        return real(*args)

    monkeypatch.setattr(dag_package, "move_pointer", move_pointer)
    try:
        version = publish(store, TWO)
    except StoreError:
        version = ""
    told = {v for v in (*rival, version) if v not in ("", "refused")}
    history = {m.version for m in dag_package.versions(session(store), dag_package.read_live(session(store)))}
    assert told <= history, "who heard that his version is live finds it in the history"


def test_touching_a_file_without_changing_it_makes_no_version(store: S3Store):
    publish(store, ONE)
    write(store, PREFIX + "a.py", ONE["a.py"])
    assert not look(store)["sales"].adopted and kinds(store) == ["publish"]


REFUSED = {
    "../../escaped.py": b"", "p//x.py": b"", ".hidden/x.py": b"", "tab\there.py": b"", "a" * 300 + ".py": b"", "sub/__pycache__/x.pyc": b"",
    "big.py": b"#" * (protocol.MAX_PYTHON_BYTES + 1), ".airflowignore": b"!*", "zipped.csv": b"PK\x05\x06" + b"\0" * 18,
}  # fmt: skip


@pytest.mark.parametrize("path", REFUSED, ids=lambda p: p[:20].replace("/", "_"))
def test_an_edit_that_breaks_a_rule_is_refused_by_name_and_the_rest_adopted(path: str, memory: Memory):
    publish(memory, ONE)
    write(memory, PREFIX + path, REFUSED[path])
    write(memory, PREFIX + "a.py", b"x = 5\n")
    write(memory, "dev/finance/dags/f.py", b"f = 1\n")
    findings = look(memory)
    assert list(findings["sales"].refused) == [path] and findings["sales"].adopted
    assert live(memory) == {**ONE, "a.py": b"x = 5\n"} and live(memory, "finance") == {"f.py": b"f = 1\n"}
    publish(memory, TWO)
    assert live(memory) == TWO, "the next publish goes on all the same"


def test_both_a_file_and_a_folder_of_one_name_are_told_and_stop_nobody(memory: Memory):
    publish(memory, ONE)
    write(memory, PREFIX + "a.py/b.py", b"")
    write(memory, PREFIX + "folder/", b"made in a console")
    write(memory, "dev/finance/dags/f.py", b"f = 1\n")
    findings = look(memory)
    assert "both a file and a folder" in findings["sales"].problem
    assert live(memory) == ONE and live(memory, "finance") == {"f.py": b"f = 1\n"}


@pytest.mark.parametrize("name", ["Sales", "sales.eu", "..", "x", "größe", "a" * 50])
def test_a_folder_with_an_unusable_name_is_told_and_stops_nobody(name: str, memory: Memory):
    write(memory, f"dev/{name}/dags/a.py", b"x = 1\n")
    write(memory, "dev/finance/dags/f.py", b"f = 1\n")
    findings = look(memory)
    assert "not usable" in findings[name].problem and live(memory, "finance") == {"f.py": b"f = 1\n"}
    assert not [key for key in memory.listing("") if key.startswith(("manifests", "pointers")) and name in key]


def test_files_put_beside_a_package_of_a_name_that_could_be_its_own_are_not_adopted(memory: Memory):
    """One DAG id could belong to both: `publish` refuses it, so must the adopter."""
    publish(memory, ONE)
    write(memory, "dev/sales_eu/dags/a.py", b"x = 1\n")
    found = look(memory)
    assert "sales" in found["sales_eu"].problem and live(memory, "sales_eu") is None


def test_what_is_not_below_dags_is_no_package(memory: Memory):
    for key in (
        "dev/readme.txt",
        "dev/sales/readme.txt",
        "dev/sales/notdags/a.py",
        "developer/sales/dags/a.py",
        "prod/sales/dags/a.py",
    ):
        write(memory, key, b"")
    assert look(memory) == {}


def test_too_many_objects_are_refused_by_name_and_the_others_adopted(memory: Memory):
    for n in range(100_000):
        memory.write(f"dev/heap/dags/{n}.py", b"")
    write(memory, "dev/finance/dags/f.py", b"f = 1\n")
    findings = look(memory)
    assert "more objects than the 2,000" in findings["heap"].problem and findings["finance"].adopted
    assert live(memory, "finance") == {"f.py": b"f = 1\n"} and live(memory, "heap") is None


def test_without_the_marker_nothing_is_adopted(memory: Memory):
    write(memory, PREFIX + "a.py", b"x = 1\n")
    memory.write("pointers/dev/_environment.json", None)
    with pytest.raises(protocol.ProtocolError, match=r"_environment\.json"):
        look(memory)
    assert live(memory) is None


def test_a_broken_pointer_is_told_and_stops_nobody(memory: Memory):
    publish(memory, ONE)
    write(memory, protocol.pointer_key("dev", "sales"), b"{")
    write(memory, PREFIX + "a.py", b"x = 5\n")
    write(memory, "dev/finance/dags/f.py", b"f = 1\n")
    findings = look(memory)
    assert "not JSON" in findings["sales"].problem and live(memory, "finance") is not None


def test_a_quiet_pass_looks_at_no_object(memory: Memory):
    """Ten LISTs for 10,000 files, and no HEAD: it runs each 20 s."""
    publish(memory, ONE)
    write(memory, PREFIX + "big.py", b"#" * (protocol.MAX_PYTHON_BYTES + 1))  # refused: it stays different
    adopter = Adopter(memory, "dev")
    before, first = adopter.look({})
    calls: list[str] = []
    for name in ("head", "get", "put", "past"):
        setattr(memory, name, lambda *_, name=name, **__: calls.append(name))
    _, second = adopter.look(before)
    assert calls == [] and second == first


def test_an_edit_during_a_publish_is_not_lost(store: S3Store):
    """Publishing over an edit by hand makes it a version first."""
    publish(store, ONE)
    write(store, PREFIX + "a.py", b"x = 'hand'\n")
    publish(store, TWO)
    assert live(store) == TWO and kinds(store) == ["publish", "adopt", "publish"]


def test_watch_goes_on_after_an_error_and_tells_each_thing_once(memory: Memory):
    publish(memory, ONE)
    told: list[Finding] = []
    stop = threading.Event()
    real, broken = memory.listing, [True]

    def listing(prefix: str) -> Any:
        if broken[0]:
            raise StoreError("the bucket is away")
        return real(prefix)

    memory.listing = listing  # type: ignore[method-assign]
    thread = threading.Thread(
        target=dag_adopter.watch, args=(Adopter(memory, "dev"), told.append, 0.01, 0.01, stop), daemon=True
    )
    thread.start()
    try:
        wait_for(lambda: told)
        broken[0] = False
        write(memory, PREFIX + "a.py", b"x = 3\n")
        wait_for(lambda: (live(memory) or {}).get("a.py") == b"x = 3\n")
        memory.write(PREFIX + "b.py", None)
        wait_for(lambda: any(f.deleted for f in told))
        assert sum(f.problem == "the bucket is away" for f in told) == 1
        assert sum(bool(f.deleted) for f in told) == 1
    finally:
        stop.set()
        thread.join()


def test_the_cluster_s_program_adopts_and_ends_at_a_signal(moto: S3Server, bucket: S3Store, tmp_path: Path):
    publish(bucket, ONE)
    program = ROOT / "charts/airflow-platform/files/dag_adopter.py"
    env = {"PATH": os.environ["PATH"], **moto.environment, "DAG_SYNC_BUCKET": bucket.bucket, "DAG_SYNC_ENVIRONMENT": "dev",
           "DAG_ADOPTER_INTERVAL": "1", "DAG_ADOPTER_HEARTBEAT": str(tmp_path / "heartbeat")}  # fmt: skip
    write(bucket, PREFIX + "a.py", b"x = 1\n# by hand\n")
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); import dag_adopter; dag_adopter.watch.__defaults__ = (0.1, 0.1, None, None, lambda findings: None); sys.exit(dag_adopter.main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(program.parent)], env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        line = json.loads(process.stdout.readline())
        while "adopted" not in line:
            line = json.loads(process.stdout.readline())
        assert line["package"] == "sales" and line["edits"] == ["a.py"]
        assert (tmp_path / "heartbeat").exists(), "the liveness probe of the chart looks at its age"
        assert (live(bucket) or {})["a.py"] == b"x = 1\n# by hand\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
