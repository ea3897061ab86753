"""`GET /versions/<package>/<version>`: what a run began with is there again, for as long as its bytes are."""

from __future__ import annotations

import fcntl
import json
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

import dag_protocol as protocol
from dag_sync_syncer import Syncer
from dag_sync_versions import Gone, Versions, answer, serve_versions
from dag_tree import Budget
from scripts.local.memory_store import Memory
from scripts.local.packages import hand_make, publish
from scripts.local.ports import free_port
from scripts.local.s3_servers import S3Server
from scripts.local.waiting import PATIENCE, wait_for
from tests.dag_sync.inside import syncer
from tests.helpers.dag_sync import Process, get

Start = Callable[..., Process]
MANY = protocol.MAX_FALLBACKS + 4  # more than the pointer pins


@pytest.fixture
def moto_bucket(moto: S3Server) -> tuple[str, str, list[str]]:
    """Endpoint, name, and three versions in it."""
    store = moto.bucket(f"t-{uuid.uuid4().hex[:20]}")
    return moto.endpoint, store.bucket, [publish(store, files(number)) for number in range(3)]


def files(number: int) -> dict[str, bytes]:
    """Of a version of its own; the second is the same in each."""
    return {"a.py": f"x = {number}\n".encode(), "lib/h.py": b"y = 1\n"}


def content(folder: Path) -> bytes:
    return (folder / "dags" / "a.py").read_bytes()


def published(memory: Memory, many: int = MANY) -> list[str]:
    """Versions, the oldest first."""
    return [publish(memory, files(number)) for number in range(many)]


def synced(memory: Memory, root: Path) -> tuple[Syncer, Versions]:
    sync = syncer(root, memory)
    sync.poll()
    return sync, Versions(sync)


def test_any_version_that_was_live_is_built_from_its_name(memory: Memory, tmp_path: Path) -> None:
    """Also one that the pointer does not pin any more, on a pod that never served it; nothing is linked to it."""
    names = published(memory)
    sync, versions = synced(memory, tmp_path)
    for number in (0, MANY - 1, 3, 0):
        assert content(versions.bring("sales", names[number])) == files(number)["a.py"]
    assert sync.tree.served_version("sales") == names[-1]


def test_what_is_on_the_disk_needs_no_bucket(memory: Memory, tmp_path: Path) -> None:
    names = published(memory, 2)
    _, versions = synced(memory, tmp_path)
    versions.bring("sales", names[0])
    memory.objects.clear()
    assert content(versions.bring("sales", names[0])) == files(0)["a.py"]
    assert answer(versions, f"/versions/sales/{names[0]}") == (200, "ok\n")


def test_one_that_was_used_stays_as_long_as_one_that_was_replaced(memory: Memory, tmp_path: Path) -> None:
    names = published(memory, 2)
    sync, versions = synced(memory, tmp_path)
    folder = versions.bring("sales", names[0])
    asked = folder.stat().st_mtime
    assert sync.tree.prune(100.0, asked + 99) == []
    assert sync.tree.prune(100.0, asked + 101) == [f"sales/{names[0]}"]
    assert content(versions.bring("sales", names[0])) == files(0)["a.py"], "fetched again"


def hold(tracking: Path, version: str) -> object:
    """The lock that Airflow holds while a task runs; it is kept for as long as what is returned."""
    file = tracking / "sales" / version
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("2026-01-01T00:00:00+00:00")
    stream = file.open()
    fcntl.flock(stream, fcntl.LOCK_SH)
    return stream


def test_a_version_that_a_task_holds_is_never_deleted(memory: Memory, tmp_path: Path) -> None:
    """Not by age and not for room; a new version is refused then, and what is served stays."""
    names = published(memory, 2)
    sync = syncer(tmp_path / "dags", memory, budget=Budget(1024**3, 11))  # two versions have five inodes each
    sync.tree.tracking = tmp_path / "_tracking"
    sync.poll()
    versions = Versions(sync)
    old = versions.bring("sales", names[0])
    held = hold(sync.tree.tracking, names[0])
    assert sync.tree.prune(0.0) == []
    newest = publish(memory, files(9))
    sync.poll()
    assert old.is_dir() and sync.tree.served_version("sales") == names[1]
    held.close()  # type: ignore[attr-defined]
    wait_for(lambda: sync.poll() and sync.tree.served_version("sales") == newest, what="room, once the task ended")
    assert not old.exists()


@pytest.mark.parametrize(
    ("package", "version", "says"),
    [
        ("sales", "20200101T000000Z-00000000", "never live"),
        ("sales", "../../etc", "is not one: they look like"),
        ("sales", "removed", "is not one: they look like"),
        ("Sales", "20200101T000000Z-00000000", "package name 'Sales' is not usable"),
        ("nobody", "20200101T000000Z-00000000", "has no pointer"),
    ],
)
def test_what_never_will_be_there_is_410_with_a_sentence(
    memory: Memory, tmp_path: Path, package: str, version: str, says: str
) -> None:
    published(memory, 1)
    _, versions = synced(memory, tmp_path)
    code, text = answer(versions, f"/versions/{package}/{version}")
    assert (code, says in text) == ((404, False) if "/" in version else (410, True)), text


def test_a_version_whose_bytes_are_gone_is_410_and_says_which(memory: Memory, tmp_path: Path) -> None:
    names = published(memory, 2)
    document = json.loads(memory.get(protocol.manifest_key("dev", "sales", names[0]), 1 << 20)[0])
    [gone] = [file["version_id"] for file in document["files"] if file["path"] == "a.py"]
    key = protocol.files_prefix("dev", "sales") + "a.py"
    memory.objects[key] = [one for one in memory.objects[key] if one.version_id != gone]
    _, versions = synced(memory, tmp_path)
    code, text = answer(versions, f"/versions/sales/{names[0]}")
    assert code == 410 and "the bytes of a.py are gone" in text


def test_a_manifest_that_was_written_anew_is_not_taken_for_the_one_that_was_live(
    memory: Memory, tmp_path: Path
) -> None:
    """Whoever may publish may write over manifests of the package; what a run gets is what was live."""
    names = published(memory)
    key = protocol.manifest_key("dev", "sales", names[0])
    memory.write(key, memory.get(key, 1 << 20)[0].replace(b"a.py", b"b.py"))
    _, versions = synced(memory, tmp_path)
    with pytest.raises(Gone, match="SHA-256 differs"):
        versions.bring("sales", names[0])


def test_a_version_that_dag_sync_refused_is_refused_to_runs_too(memory: Memory, tmp_path: Path) -> None:
    bad = hand_make(memory, {"a.py": b"def f(:\n"})
    _, versions = synced(memory, tmp_path)
    code, text = answer(versions, f"/versions/sales/{bad}")
    assert code == 410 and "a.py" in text


def test_many_that_ask_at_once_have_it_built_once(
    memory: Memory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = published(memory, 2)
    sync, versions = synced(memory, tmp_path)
    built: list[str] = []
    build = sync.build
    monkeypatch.setattr(sync, "build", lambda *words: built.append(words[0]) or build(*words))
    threads = [threading.Thread(target=versions.bring, args=("sales", names[0])) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert built == ["sales"]


def test_a_package_whose_turn_goes_on_makes_others_wait_no_longer_than_said(memory: Memory, tmp_path: Path) -> None:
    names = published(memory, 2)
    sync, versions = synced(memory, tmp_path)
    held, over = threading.Event(), threading.Event()

    def turn_of_another() -> None:
        with sync.tree.lock("sales"):
            held.set()
            over.wait(PATIENCE)

    thread = threading.Thread(target=turn_of_another)
    thread.start()
    held.wait(PATIENCE)
    try:
        with pytest.raises(Exception) as late:
            versions.bring("sales", names[0], seconds=0.1)
    finally:
        over.set()
        thread.join()
    assert type(late.value).__name__ == "Late"


@pytest.mark.parametrize("bind", [":9105", "0.0.0.0:9105", "10.0.0.1:9105", "[::]:9105"])
def test_only_this_pod_may_ask(memory: Memory, tmp_path: Path, bind: str) -> None:
    """From elsewhere anybody could fill the disk."""
    with pytest.raises(ValueError, match="on loopback alone"):
        serve_versions(bind, syncer(tmp_path, memory))


def test_the_running_program_serves_them(moto_bucket: tuple[str, str, list[str]], dag_sync: Start) -> None:
    endpoint, bucket, names = moto_bucket
    port = free_port()
    process = dag_sync(endpoint, bucket, "--versions-bind", f"127.0.0.1:{port}")
    process.wait_until_served(files(2))
    assert get(port, f"/versions/sales/{names[0]}") == (200, "ok\n")
    assert get(port, "/versions/sales")[0] == get(port, "/metrics")[0] == 404
    [build] = process.root.glob(f".store/packages/sales/{names[0]}")
    assert content(build) == files(0)["a.py"]


def test_a_task_pods_init_container_brings_the_one_version_alone(
    moto_bucket: tuple[str, str, list[str]], dag_sync: Start
) -> None:
    endpoint, bucket, names = moto_bucket
    variables = {"DAG_SYNC_PACKAGES": "sales", "DAG_SYNC_VERSION": names[0]}
    process = dag_sync(endpoint, bucket, "--one-time", **variables)
    assert process.ended() == 0, process.text
    assert [p.name for p in process.root.glob(".store/packages/sales/2*")] == [names[0]]
    assert not (process.root / "sales").is_symlink()
    gone = dag_sync(endpoint, bucket, "--one-time", **variables | {"DAG_SYNC_VERSION": "20200101T000000Z-00000000"})
    assert gone.ended() == 4 and "never live" in gone.text
    wrong = dag_sync(endpoint, bucket, "--version", names[0])
    assert wrong.ended() == 2 and "--version needs --one-time and one --package" in wrong.text
