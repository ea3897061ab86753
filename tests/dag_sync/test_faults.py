"""Where other programs lost data (s3-peers, section 4): dag-sync keeps the old whole version, and heals."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

import dag_protocol as protocol
from dag_store import S3Store, client_config
from dag_sync_syncer import Syncer
from dag_tree import Budget
from scripts.local.fault_proxy import FaultProxy, Seen
from scripts.local.memory_store import Memory
from scripts.local.packages import publish, write
from scripts.local.s3_servers import KEYS
from scripts.local.waiting import wait_for
from tests.dag_sync.inside import action, leftovers, reason, syncer
from tests.helpers.dag_sync import Process, served

ONE = {"a.py": b"x = 1\n", "b.py": b"y = 1\n", "data.csv": b"1" * 5000}
TWO = {"a.py": b"x = 2\n", "b.py": b"y = 2\n", "data.csv": b"2" * 5000}
FINANCE = "/dev/finance/"


def through(proxy: FaultProxy, bucket: S3Store, fault: str = "") -> S3Store:
    """The bucket through the proxy, by a client that asks once, and is quick to give up where a fault is to wait."""
    patience = 1.5 if fault == "hang" else 30  # on a machine that is busy good answers take their time as well
    config = client_config(read_timeout=patience, retries={"mode": "standard", "total_max_attempts": 1})
    return S3Store(
        bucket.bucket,
        client=boto3.client(
            "s3", endpoint_url=proxy.endpoint, region_name="us-east-1", config=config,
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"], aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        ),
    )  # fmt: skip


def again(sync: Syncer) -> bool:
    """The next poll, with the pause after a failure over."""
    for package in sync.packages.values():
        package.retry_at = 0.0
    return sync.poll()


@pytest.mark.parametrize("fault", ["500", "403", "reset", "truncate", "html", "hang", "drop"])
def test_a_listing_that_fails_keeps_everything(fault: str, proxy: FaultProxy, bucket: S3Store, tmp_path: Path):
    """s5cmd emptied the folder and said success."""
    publish(bucket, ONE)
    sync = syncer(tmp_path, through(proxy, bucket, fault))
    assert sync.poll()
    proxy.fault = lambda seen: fault if seen.is_list else None  # type: ignore[return-value]
    for n in range(1, 4):
        assert not sync.poll() and sync.failures == n
    assert served(tmp_path) == ONE
    proxy.forget()
    publish(bucket, TWO)
    assert sync.poll() and sync.failures == 0 and served(tmp_path) == TWO


@pytest.mark.parametrize("fault", ["500", "403", "reset", "truncate", "hang", "drop", "html"])
@pytest.mark.parametrize("what", ["file", "manifest", "pointer"])
def test_a_download_that_fails_keeps_the_old_whole_version_and_the_others_are_delivered(
    what: str, fault: str, proxy: FaultProxy, bucket: S3Store, tmp_path: Path
):
    """objinsync put 20 empty files in the place of good ones and said success."""
    publish(bucket, ONE, "finance")
    publish(bucket, ONE, "zebra")
    sync = syncer(tmp_path, through(proxy, bucket, fault))
    assert sync.poll()
    publish(bucket, TWO, "finance")
    publish(bucket, TWO, "zebra")
    part = {
        "file": "/dev/finance/dags/data.csv",
        "manifest": "/manifests/dev/finance/",
        "pointer": "/pointers/dev/finance.json",
    }[what]
    proxy.fault = lambda seen: fault if part in seen.path else None  # type: ignore[return-value]
    assert not sync.poll()
    assert served(tmp_path, "finance") == ONE
    assert served(tmp_path, "zebra") == TWO
    assert action(sync, "finance") == "failed", reason(sync, "finance")
    proxy.forget()
    assert again(sync) and served(tmp_path, "finance") == TWO and leftovers(tmp_path) == []


@pytest.mark.parametrize(
    "case", ["no bucket", "typo in the environment", "emptied", "only the marker is gone", "no credentials"]
)
def test_a_wrong_or_emptied_bucket_keeps_everything(case: str, bucket: S3Store, tmp_path: Path, dag_sync, moto):
    """Each of four programs wiped the folder and said success."""
    publish(bucket, ONE)
    one = dag_sync(moto.endpoint, bucket.bucket, "--one-time")
    assert one.ended() == 0 and one.serves() == ONE
    more = {
        "no bucket": {"DAG_SYNC_BUCKET": "no-such-bucket"},
        "typo in the environment": {"DAG_SYNC_ENVIRONMENT": "deb"},
        "no credentials": {
            "AWS_ACCESS_KEY_ID": "",
            "AWS_SECRET_ACCESS_KEY": "",
            "AWS_CONFIG_FILE": "/dev/null",
            "HOME": "/nonexistent",
        },
    }.get(case, {})
    if case == "emptied":
        for key in bucket.listing(""):
            bucket.client.delete_object(Bucket=bucket.bucket, Key=key)
    if case == "only the marker is gone":
        publish(bucket, TWO)
        bucket.client.delete_object(Bucket=bucket.bucket, Key=protocol.marker_key("dev"))
    two = dag_sync(moto.endpoint, bucket.bucket, "--one-time", **more)
    assert two.ended() == 1 and "stays" in two.text and "Traceback" not in two.text
    assert two.serves() == ONE


def test_a_pointer_that_vanished_keeps_its_package(bucket: S3Store, tmp_path: Path):
    publish(bucket, ONE)
    store = bucket
    sync = syncer(tmp_path, store)
    sync.poll()
    store.client.delete_object(Bucket=store.bucket, Key=protocol.pointer_key("dev", "sales"))
    assert sync.poll() and served(tmp_path) == ONE and reason(sync) == "its pointer vanished"
    fresh = syncer(tmp_path, store)  # a restart in that state
    assert fresh.poll() and served(tmp_path) == ONE and fresh.ready
    assert reason(fresh) == "its pointer vanished", "nobody would be told after a restart"
    publish(store, TWO)
    assert sync.poll() and served(tmp_path) == TWO and reason(sync) == ""


class Garbling(Memory):
    """A bucket whose answers are wrong, byte by byte or by taking for ever."""

    garbled = 0
    dripping = False

    def stream(self, key: str, version_id: str, chunk: int) -> Iterator[bytes]:
        for data in super().stream(key, version_id, chunk):
            if self.dripping:
                yield from (data[n : n + 1] for n in range(len(data)))
            elif self.garbled:
                self.garbled -= 1
                yield bytes(len(data))
            else:
                yield data


def test_a_file_garbled_once_on_its_way_is_fetched_again(tmp_path: Path):
    """A refusal is for good, so it takes two wrong answers."""
    store = Garbling()
    publish(store, ONE)
    store.garbled = 1
    sync = syncer(tmp_path, store)
    assert sync.poll() and served(tmp_path) == ONE
    publish(store, TWO)
    store.garbled = 1_000
    assert sync.poll() and served(tmp_path) == ONE and "not what the manifest pins" in reason(sync)


def test_a_file_that_drips_does_not_keep_the_turn_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store = Garbling()
    publish(store, ONE)
    store.dripping = True
    ticks = iter(range(10**9))
    monkeypatch.setattr("dag_sync_fetch.time.monotonic", lambda: float(next(ticks)))
    sync = syncer(tmp_path, store)
    assert not sync.poll() and "not finished in its time" in reason(sync)


def test_deleted_files_are_served_on_since_versions_are_pinned(bucket: S3Store, tmp_path: Path):
    publish(bucket, ONE)
    for key in bucket.listing("dev/"):
        bucket.client.delete_object(Bucket=bucket.bucket, Key=key)
    sync = syncer(tmp_path, bucket)
    assert sync.poll() and served(tmp_path) == ONE


def test_same_size_edits_in_the_same_second_and_old_contents_again_are_picked_up(tmp_path: Path, memory: Memory):
    """`aws s3 sync` misses them: it compares sizes and times."""
    sync = syncer(tmp_path, memory)
    for n in (1, 2, 3, 1, 2):
        files = {"a.py": b"x = %d\n" % n}
        publish(memory, files)
        sync.poll()
        assert served(tmp_path) == files


def test_local_times_do_not_matter(tmp_path: Path, memory: Memory):
    publish(memory, ONE)
    sync = syncer(tmp_path, memory)
    sync.poll()
    for path in (tmp_path / "sales").resolve().rglob("*"):
        os.utime(path, (time.time() + 3600,) * 2)
    publish(memory, TWO)
    sync.poll()
    assert served(tmp_path) == TWO


@pytest.mark.parametrize("harm", ["changed", "gone", "extra", "link", "no manifest", "odd manifest", "cache-like name"])
def test_tampering_is_found_at_the_next_start_and_repaired(harm: str, tmp_path: Path, memory: Memory):
    publish(memory, ONE)
    syncer(tmp_path, memory).poll()
    folder = (tmp_path / "sales").resolve()
    file = folder / "dags/a.py"
    before = file.stat()
    match harm:
        case "changed":
            file.write_bytes(b"x = 9\n")
            os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, same time
        case "gone":
            file.unlink()
        case "extra":
            (folder / "dags/evil.py").write_bytes(b"")
        case "cache-like name":
            (folder / "dags/not__pycache__.py").write_bytes(b"")
        case "link":
            file.unlink()
            file.symlink_to("/etc/passwd")
        case "no manifest":
            (folder / "manifest.json").unlink()
        case "odd manifest":
            (folder / "manifest.json").write_bytes(b"[]")
    sync = syncer(tmp_path, memory)
    assert not sync.verified_at_start, "a damaged store must not stand in for a dead bucket"
    sync.poll()
    assert served(tmp_path) == ONE and sync.damaged() == []


def test_a_kept_version_that_was_damaged_is_fetched_again_before_it_is_shown(tmp_path: Path, memory: Memory):
    """Somebody copies an old pointer back by hand: its version is on the disk still, and is not what it was."""
    publish(memory, ONE)
    old, _ = memory.get(protocol.pointer_key("dev", "sales"), 1 << 20)
    sync = syncer(tmp_path, memory)
    sync.poll()
    kept = (tmp_path / "sales").resolve()
    publish(memory, TWO)
    sync.poll()
    assert served(tmp_path) == TWO
    (kept / "dags/a.py").chmod(0o644)
    (kept / "dags/a.py").write_bytes(b"x = 9\n")
    write(memory, protocol.pointer_key("dev", "sales"), old)
    sync.poll()
    assert served(tmp_path) == ONE and sync.damaged() == []


def test_a_manifest_that_was_written_anew_under_its_name_is_another_version(tmp_path: Path, memory: Memory):
    """A pod that has the name on its disk serves what a new pod serves: the pin decides."""
    publish(memory, ONE)
    old = syncer(tmp_path / "old", memory)
    old.poll()
    name = live(memory).version
    publish(memory, TWO)
    other = live(memory)
    key = protocol.manifest_key("dev", "sales", other.version)
    document = json.loads(memory.get(key, protocol.MAX_MANIFEST_BYTES)[0]) | {"version": name, "previous": None}
    data = (json.dumps(document) + "\n").encode()
    write(memory, protocol.manifest_key("dev", "sales", name), data)
    pointer = replace(other, version=name, manifest_sha256=protocol.sha256(data), previous=())
    write(memory, protocol.pointer_key("dev", "sales"), pointer.encode())
    new = syncer(tmp_path / "new", memory)
    for sync, folder in ((old, "old"), (new, "new")):
        sync.poll()
        assert served(tmp_path / folder) == TWO
        assert sync.tree.served_version("sales") == name


def live(memory: Memory) -> protocol.Pointer:
    """The pointer of sales."""
    data, _ = memory.get(protocol.pointer_key("dev", "sales"), protocol.MAX_POINTER_BYTES)
    return protocol.decode_pointer(data, "dev", "sales")


def test_a_file_of_the_version_before_that_was_damaged_is_not_taken_over(tmp_path: Path, memory: Memory):
    """Between two looks of an hour each; what is unchanged is linked and not fetched."""
    publish(memory, ONE)
    sync = syncer(tmp_path, memory)
    sync.poll()
    file = next(
        p for p in (tmp_path / "sales").resolve().joinpath("dags").rglob("*") if p.is_file() and p.name != "a.py"
    )
    file.write_bytes(b"#" * file.stat().st_size)
    new = ONE | {"a.py": b"x = 8\n"}
    publish(memory, new)
    sync.poll()
    assert served(tmp_path) == new and sync.damaged() == []


def test_no_disk_left_keeps_the_old_whole_version_and_a_smaller_one_fits(tmp_path: Path, memory: Memory):
    """The budget stands for the disk: an emptyDir over its limit evicts the pod instead of failing a write."""
    publish(memory, ONE)
    sync = syncer(tmp_path, memory, budget=Budget(20_000, 50))
    sync.poll()
    publish(memory, ONE, "finance")
    publish(memory, {"big.txt": b"x" * 16_000})
    sync.poll()
    assert action(sync) == "failed" and "raise the budget" in reason(sync)
    assert served(tmp_path) == ONE and served(tmp_path, "finance") == ONE
    publish(memory, {f"{n}": b"" for n in range(60)})
    again(sync)
    assert action(sync) == "failed" and served(tmp_path) == ONE
    publish(memory, TWO)
    assert again(sync) and served(tmp_path) == TWO
    used = sync.tree.usage()
    assert used.bytes <= 20_000 and used.inodes <= 50


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a tmpfs needs root")
def test_a_full_disk_keeps_the_old_whole_version_and_heals(tmp_path: Path, memory: Memory):
    root = tmp_path / "volume"
    root.mkdir()
    if os.system(f"mount -t tmpfs -o size=128k tmpfs {root} 2>/dev/null"):
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        publish(memory, ONE)
        sync = syncer(root, memory)
        assert sync.poll()
        publish(memory, {f"{n}.txt": b"%d" % n * 9000 for n in range(40)})
        for _ in range(2):
            assert not again(sync)
            assert served(root) == ONE and action(sync) == "failed"
        publish(memory, TWO)
        assert again(sync), reason(sync)
        assert served(root) == TWO and leftovers(root) == []
    finally:
        os.system(f"umount {root}")


def test_a_kill_in_a_download_leaves_the_old_version_and_a_new_run_heals(
    proxy: FaultProxy, bucket: S3Store, dag_sync: Callable[..., Process]
):
    """rclone left partial files under their final names."""
    publish(bucket, ONE)
    assert dag_sync(proxy.endpoint, bucket.bucket, "--one-time").ended() == 0
    publish(bucket, TWO)
    proxy.forget()
    proxy.fault = lambda seen: "drip" if seen.path.endswith("data.csv") else None
    process = dag_sync(proxy.endpoint, bucket.bucket)
    process.wait(lambda: any(s.path.endswith("data.csv") for s in proxy.seen))
    process.signal(signal.SIGKILL)
    process.ended()
    assert process.serves() == ONE
    proxy.forget()
    healed = dag_sync(proxy.endpoint, bucket.bucket, "--one-time")
    assert healed.ended() == 0 and healed.serves() == TWO and leftovers(healed.root) == []


def test_a_term_ends_it_at_once_even_in_a_download(
    proxy: FaultProxy, bucket: S3Store, dag_sync: Callable[..., Process]
):
    """Pool threads block the exit of Python, and PID 1 has no default action. The download would take four minutes."""
    publish(bucket, ONE)
    proxy.fault = lambda seen: "drip" if seen.path.endswith("data.csv") else None
    process = dag_sync(proxy.endpoint, bucket.bucket)
    process.wait(lambda: any(s.path.endswith("data.csv") for s in proxy.seen))
    process.signal(signal.SIGTERM)
    assert process.ended() == 0


def test_a_publish_is_never_seen_in_half(bucket: S3Store, tmp_path: Path):
    """Twenty files of one number: a poll at any moment of the publish shows one number only."""
    numbers = [{f"{n:02}.py": b"x = %d\n" % v for n in range(20)} for v in range(4)]
    publish(bucket, numbers[0])
    sync = syncer(tmp_path, bucket)
    done = threading.Event()
    seen, mixed = set(), 0

    def look() -> None:
        nonlocal mixed
        sync.poll()
        contents = set((served(tmp_path) or {}).values())
        seen.update(contents)
        mixed += len(contents) != 1

    def work() -> None:
        for files in numbers[1:]:
            publish(bucket, files)
        done.set()

    thread = threading.Thread(target=work)
    thread.start()
    while not done.is_set():
        look()
    thread.join()
    look()
    assert mixed == 0 and b"x = 3\n" in seen


def test_partial_files_never_have_a_final_name(proxy: FaultProxy, bucket: S3Store, tmp_path: Path):
    publish(bucket, {"a.py": b"# " + b"x" * 2000})
    store = through(proxy, bucket)
    sync = syncer(tmp_path, store)
    proxy.fault = lambda seen: "truncate" if seen.path.endswith("a.py") else None
    sync.poll()
    assert not (tmp_path / "sales").exists() and not list(tmp_path.rglob("a.py"))


def test_a_package_that_always_fails_is_tried_less_and_less_often(tmp_path: Path, memory: Memory):
    publish(memory, ONE)

    def stream(*_: object) -> object:
        raise OSError(5, "no")

    memory.stream = stream  # type: ignore[assignment,method-assign]
    sync = syncer(tmp_path, memory)
    pauses = []
    for _ in range(8):
        again(sync)
        pauses.append(sync.packages["sales"].retry_at - time.monotonic())
        assert not sync.ready
    assert pauses[0] <= 2 and 20 < pauses[-1] <= 60
    assert sync.poll() and sync.counts["noop"] == 1, "before its time it is left alone"


def test_a_package_that_fails_for_ever_does_not_hold_back_airflows_start(
    tmp_path: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch
):
    publish(memory, ONE)
    monkeypatch.setattr(memory, "stream", lambda *_: [][0])  # a fault of ours, even
    sync = syncer(tmp_path, memory)
    sync.poll()
    assert action(sync) == "failed" and not sync.ready
    monkeypatch.setattr("dag_sync_syncer.READY_PATIENCE", 0.0)
    assert sync.ready


@pytest.mark.parametrize("packages", [20, pytest.param(999, marks=pytest.mark.exhaustive("delivery"))])
def test_a_poll_with_nothing_new_is_one_request(packages: int, proxy: FaultProxy, bucket: S3Store, tmp_path: Path):
    publish(bucket, ONE)
    for n in range(packages - 1):
        write(bucket, protocol.pointer_key("dev", f"p{n:03}"), b"{}")  # refused, but for the one
    store = through(proxy, bucket)
    sync = syncer(tmp_path, store, only=None if packages < 100 else frozenset({"sales"}))
    sync.poll()
    assert action(sync) == "delivered"
    proxy.forget()
    assert sync.poll()
    assert [s.method for s in proxy.seen] == ["GET"] and proxy.seen[0].is_list
    assert proxy.bytes_down < 1000 + 500 * packages
    assert sync.counts["noop"] == 1


def is_get(seen: Seen, part: str) -> bool:
    return seen.method == "GET" and part in seen.path


def test_an_unchanged_file_is_not_fetched_again(proxy: FaultProxy, bucket: S3Store, tmp_path: Path):
    publish(bucket, ONE)
    sync = syncer(tmp_path, through(proxy, bucket))
    sync.poll()
    publish(bucket, ONE | {"a.py": b"x = 2\n"})
    proxy.forget()
    assert sync.poll()
    assert [s.path.rsplit("/", 1)[1] for s in proxy.seen if is_get(s, "/dags/")] == ["a.py"]
    assert len(proxy.seen) == 4  # listing, pointer, manifest, file
    assert wait_for(lambda: served(tmp_path) == ONE | {"a.py": b"x = 2\n"})
