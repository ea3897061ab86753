"""The running program: options, signals, health, metrics, one process per root, and what lies on disk."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import dag_protocol as protocol
from airflow_dag_publisher import publishing, restore, rollback
from dag_protocol import LINKS_IGNORE
from dag_store import S3Store
from scripts.local.fault_proxy import FaultProxy
from scripts.local.memory_store import Memory
from scripts.local.packages import hand_make, publish, session, write
from scripts.local.ports import free_port
from scripts.local.s3_servers import S3Server
from scripts.local.waiting import PATIENCE, wait_for
from tests.dag_sync.inside import action, reason, syncer
from tests.helpers.dag_sync import DAG_SYNC, Process, get, served

ONE, TWO = {"a.py": b"x = 1\n", "lib/h.py": b"y = 1\n"}, {"a.py": b"x = 2\n", "lib/h.py": b"y = 1\n"}
Start = Callable[..., Process]


def samples(text: str) -> dict[str, float]:
    """Prometheus' text format, held to its grammar."""
    found = {}
    types: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types and kind in ("counter", "gauge")
            types[name] = kind
        elif not line.startswith("# HELP "):
            match = re.fullmatch(r'([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)+\})? (-?[0-9.e+]+)', line)
            assert match and match[1] in types, line
            found[match[1] + (match[2] or "")] = float(match[3])
    assert text.endswith("\n") and all(name.endswith("_total") for name, kind in types.items() if kind == "counter")
    return found


# --- the loop -----------------------------------------------------------------------------------------------------


def test_publish_update_rollback_and_removal_reach_the_folder(moto: S3Server, bucket: S3Store, dag_sync: Start):
    publish(bucket, ONE)
    process = dag_sync(moto.endpoint, bucket.bucket)
    process.wait_until_served(ONE)
    publish(bucket, TWO)
    process.wait_until_served(TWO)
    rollback.rollback(session(bucket))
    process.wait_until_served(ONE)
    publish(bucket, ONE, "finance")
    process.wait_until_served(ONE, "finance")
    publishing.remove(session(bucket))
    process.wait_until_served(None)
    restore.restore(session(bucket))
    process.wait_until_served(ONE)
    assert process.serves("finance") == ONE


def test_health_readiness_and_metrics_tell_the_state(proxy: FaultProxy, bucket: S3Store, dag_sync: Start):
    publish(bucket, ONE)
    gate = threading.Event()

    def slow(seen):
        if "/dags/" in seen.path:
            gate.wait(PATIENCE)

    proxy.fault = slow
    port = free_port()
    process = dag_sync(proxy.endpoint, bucket.bucket, "--http-bind", f"127.0.0.1:{port}")
    process.wait(lambda: get(port, "/healthz")[0] == 200, "healthz")
    process.wait(lambda: any("/dags/" in s.path for s in proxy.seen))
    assert get(port, "/readyz")[0] == 503, "Airflow would start on nothing"
    gate.set()
    process.wait(lambda: get(port, "/readyz")[0] == 200, "readyz")
    assert process.serves() == ONE and get(port, "/nothing")[0] == 404
    process.wait(lambda: samples(get(port, "/metrics")[1])['dag_sync_count_total{status="noop"}'] > 0)
    bad = hand_make(bucket, {"a.py": b"def ("}, "finance")
    process.wait(lambda: samples(get(port, "/metrics")[1])["dag_sync_packages_refused"] == 1)
    now = samples(get(port, "/metrics")[1])
    version = process.root.joinpath("sales").resolve().name
    assert now[f'dag_sync_package_version{{package="sales",version="{version}"}}'] == 1
    assert now['dag_sync_package_refused{package="finance"}'] == 1 and bad not in get(port, "/metrics")[1]
    assert 0 <= now['dag_sync_publish_to_flip_seconds{package="sales"}'] < 60
    assert now['dag_sync_count_total{status="success"}'] >= 1 and now["dag_sync_consecutive_errors"] == 0
    assert abs(now["dag_sync_last_success_timestamp_seconds"] - time.time()) < 10
    proxy.fault = lambda _: "500"
    process.wait(lambda: samples(get(port, "/metrics")[1])["dag_sync_consecutive_errors"] > 0)
    assert get(port, "/healthz")[0] == get(port, "/readyz")[0] == 200, "a dead bucket is no reason to restart a pod"


def test_ready_opens_when_a_package_is_refused(bucket: S3Store, tmp_path: Path):
    hand_make(bucket, {"a.py": b"def ("})
    sync = syncer(tmp_path, bucket)
    assert not sync.ready
    sync.poll()
    assert action(sync) == "refused" and sync.ready


def test_ready_opens_on_a_verified_store_when_s3_is_down(proxy: FaultProxy, bucket: S3Store, dag_sync: Start):
    publish(bucket, ONE)
    assert dag_sync(proxy.endpoint, bucket.bucket, "--one-time").ended() == 0
    proxy.fault = lambda _: "reset"
    port = free_port()
    process = dag_sync(proxy.endpoint, bucket.bucket, "--http-bind", f"127.0.0.1:{port}")
    process.wait(lambda: get(port, "/readyz")[0] == 200, "readyz")
    assert process.serves() == ONE


def test_ready_stays_shut_on_an_empty_store_when_s3_is_down(proxy: FaultProxy, bucket: S3Store, dag_sync: Start):
    proxy.fault = lambda _: "500"
    port = free_port()
    process = dag_sync(proxy.endpoint, bucket.bucket, "--http-bind", f"127.0.0.1:{port}")
    process.wait(lambda: "error" in process.text)
    assert get(port, "/readyz")[0] == 503


def test_ready_is_shut_while_the_first_listing_is_looked_at(tmp_path: Path, memory: Memory):
    """Between the listing and the list of what is due there is nothing pending."""
    publish(memory, ONE)
    sync = syncer(tmp_path, memory)
    seen = []
    real = sync._due
    sync._due = lambda pointers: (seen.append(sync.ready), real(pointers))[1]  # type: ignore[method-assign,func-returns-value]
    sync.poll()
    assert seen == [False]


def test_hup_syncs_and_verifies_now(moto: S3Server, bucket: S3Store, dag_sync: Start):
    publish(bucket, ONE)
    process = dag_sync(moto.endpoint, bucket.bucket, "--period", "1h")
    process.wait_until_served(ONE)
    (process.root / "sales/dags/a.py").write_bytes(b"tampered")
    publish(bucket, ONE, "finance")
    process.signal(signal.SIGHUP)
    process.wait_until_served(ONE)
    process.wait_until_served(ONE, "finance")


def test_a_hup_before_the_loop_runs_does_not_end_it(moto: S3Server, bucket: S3Store, dag_sync: Start):
    """`--one-time` sends it as soon as it sees the lock."""
    process = dag_sync(moto.endpoint, bucket.bucket)
    lock = process.root / ".store/lock"
    process.wait(lambda: lock.exists() and lock.read_text())
    process.signal(signal.SIGHUP)
    process.wait(lambda: "started" in process.text)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once(number: signal.Signals, moto: S3Server, bucket: S3Store, dag_sync: Start):
    process = dag_sync(moto.endpoint, bucket.bucket, "--period", "1h")
    process.wait(lambda: "started" in process.text)
    process.signal(number)
    assert process.ended() == {signal.SIGTERM: 0, signal.SIGINT: 130}[number], "the next poll is in an hour"


def test_too_many_failed_polls_in_a_row_end_it(proxy: FaultProxy, bucket: S3Store, dag_sync: Start):
    proxy.fault = lambda seen: "403"
    process = dag_sync(proxy.endpoint, bucket.bucket, "--max-failures", "2", "--period", "0.05")
    assert process.ended() == 1
    assert "too many failed polls" in process.text and len(proxy.seen) >= 3


# --- one process per root -----------------------------------------------------------------------------------------


def test_one_time_syncs_once_and_tells_each_package(moto: S3Server, bucket: S3Store, dag_sync: Start):
    version = publish(bucket, ONE)
    process = dag_sync(moto.endpoint, bucket.bucket, "--one-time")
    assert process.ended() == 0 and process.serves() == ONE
    assert re.search(rf"^sales +delivered +{version}$", process.text, re.MULTILINE)
    again = dag_sync(moto.endpoint, bucket.bucket, "--one-time")
    assert again.ended() == 0 and "unchanged" in again.text


def test_one_time_ends_with_4_when_a_package_has_no_acceptable_version(
    moto: S3Server, bucket: S3Store, dag_sync: Start
):
    hand_make(bucket, {"a.py": b"def ("})
    process = dag_sync(moto.endpoint, bucket.bucket, "--one-time")
    assert process.ended() == 4 and "a.py:1: does not compile" in process.text


def test_one_time_asks_the_running_loop_and_waits_for_it(moto: S3Server, bucket: S3Store, dag_sync: Start):
    loop = dag_sync(moto.endpoint, bucket.bucket, "--period", "1h")
    loop.wait(lambda: "started" in loop.text)
    version = publish(bucket, ONE)
    asked = dag_sync(moto.endpoint, bucket.bucket, "--one-time")
    assert asked.ended() == 0 and version in asked.text
    assert loop.serves() == ONE and loop.process.poll() is None
    assert list((loop.root / ".store/requests").iterdir()) == []


def test_one_time_that_asks_during_a_poll_is_answered_by_the_next(proxy: FaultProxy, bucket: S3Store, dag_sync: Start):
    """The one under way listed the bucket before."""
    publish(bucket, ONE)
    gate = threading.Event()
    proxy.fault = lambda seen: gate.wait(PATIENCE) and None if seen.path.endswith("/sales.json") else None
    loop = dag_sync(proxy.endpoint, bucket.bucket, "--period", "1h")
    loop.wait(lambda: any(seen.path.endswith("/sales.json") for seen in proxy.seen))
    version = publish(bucket, ONE, "finance")
    asked = dag_sync(proxy.endpoint, bucket.bucket, "--one-time")
    asked.wait(lambda: list((loop.root / ".store/requests").glob("*.request")))
    gate.set()
    assert asked.ended() == 0 and version in asked.text
    assert loop.serves("finance") == ONE


def test_a_second_loop_is_refused_in_one_sentence(moto: S3Server, bucket: S3Store, dag_sync: Start):
    loop = dag_sync(moto.endpoint, bucket.bucket)
    loop.wait(lambda: "started" in loop.text)
    second = dag_sync(moto.endpoint, bucket.bucket)
    assert second.ended() == 1 and "one process per root" in second.text and len(second.text.splitlines()) == 1


def test_one_time_does_not_wait_for_a_loop_that_died(proxy: FaultProxy, bucket: S3Store, dag_sync: Start):
    """It takes the root over."""
    publish(bucket, ONE)
    proxy.fault = lambda seen: "hang"
    loop = dag_sync(proxy.endpoint, bucket.bucket)
    loop.wait(lambda: len(proxy.seen) > 0)
    asked = dag_sync(proxy.endpoint, bucket.bucket, "--one-time")
    asked.wait(lambda: list((loop.root / ".store/requests").glob("*.request")))
    proxy.forget()
    loop.signal(signal.SIGKILL)
    loop.ended()
    assert asked.ended() == 0 and asked.serves() == ONE


def test_two_one_times_at_once_both_end_well(proxy: FaultProxy, bucket: S3Store, dag_sync: Start):
    publish(bucket, ONE)
    gate = threading.Event()
    proxy.fault = lambda seen: gate.wait(PATIENCE) and None  # type: ignore[func-returns-value]
    first = dag_sync(proxy.endpoint, bucket.bucket, "--one-time")
    first.wait(lambda: len(proxy.seen) > 0)
    second = dag_sync(proxy.endpoint, bucket.bucket, "--one-time")
    second.wait(lambda: list((first.root / ".store/requests").glob("*.request")))
    gate.set()
    assert first.ended() == 0 and second.ended() == 0 and first.serves() == ONE


# --- options ------------------------------------------------------------------------------------------------------

WRONG = {
    "period": ["--period", "soon"], "period of nothing": ["--period", "0"], "period not a number": ["--period", "nan"],
    "environment": ["--environment", "../x"], "package": ["--package", "../x"], "packages": ["--package", "sales,../x"],
    "max-failures": ["--max-failures", "many"], "bytes": ["--max-bytes", "1G"], "unknown": ["--nonsense"],
    "no bucket": ["--bucket", ""], "http": ["--http-bind", "nowhere"], "http port": ["--http-bind", ":99999"],
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_ends_with_2_and_one_sentence(case: str, tmp_path: Path):
    env = {"PATH": os.environ["PATH"], "DAG_SYNC_ENVIRONMENT": "dev", "DAG_SYNC_ROOT": str(tmp_path / "dags")}
    if case != "no bucket":
        env["DAG_SYNC_BUCKET"] = "b"
    done = subprocess.run(
        [sys.executable, str(DAG_SYNC), *WRONG[case]], env=env, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.splitlines()[-1].startswith("dag_sync.py: error: ") and "Traceback" not in done.stderr
    assert not (tmp_path / "dags").exists()


def test_package_takes_single_packages_from_options_and_variable(moto: S3Server, bucket: S3Store, dag_sync: Start):
    for name in ("sales", "finance", "risk"):
        publish(bucket, ONE, name)
    process = dag_sync(moto.endpoint, bucket.bucket, "--one-time", "--package", "sales", "--package", "risk")
    assert process.ended() == 0
    assert [bool(process.serves(n)) for n in ("sales", "finance", "risk")] == [True, False, True]
    other = dag_sync(moto.endpoint, bucket.bucket, "--one-time", DAG_SYNC_PACKAGES="finance,nobody")
    assert other.ended() == 0 and other.serves("finance") == ONE and "no such package" in other.text
    both = dag_sync(moto.endpoint, bucket.bucket, "--one-time", "--package", "sales", DAG_SYNC_PACKAGES="finance")
    assert both.ended() == 0, both.text


def test_link_puts_the_links_into_another_folder(moto: S3Server, bucket: S3Store, dag_sync: Start, tmp_path: Path):
    publish(bucket, ONE)
    link = tmp_path / "for" / "airflow"
    process = dag_sync(moto.endpoint, bucket.bucket, "--one-time", "--link", str(link))
    assert process.ended() == 0, process.text
    assert served(link) == ONE and not (process.root / "sales").exists()
    assert (link / ".airflowignore").read_bytes() == LINKS_IGNORE
    assert sorted(p.name for p in link.iterdir()) == [".airflowignore", ".links", "sales"]
    assert [p.name for p in process.root.iterdir()] == [".store"], "what Airflow reads is in the links' folder alone"


def test_the_store_may_be_on_another_volume(moto: S3Server, bucket: S3Store, dag_sync: Start, tmp_path: Path):
    """As in the pods: two volumes, so that no rename leads from one to the other."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    publish(bucket, ONE)
    with tempfile.TemporaryDirectory(dir=shared) as root:
        process = dag_sync(moto.endpoint, bucket.bucket, "--root", root, "--link", str(tmp_path / "dags"))
        process.wait_until_served(ONE)
        assert list((tmp_path / "dags").rglob("a.py")) == [], "code that searches the folder follows no link"
        publish(bucket, TWO)
        process.wait_until_served(TWO)
        (tmp_path / "dags" / ".airflowignore").unlink()
        process.wait((tmp_path / "dags" / ".airflowignore").exists)


def test_a_volume_whose_folder_belongs_to_root_can_be_used(memory: Memory):
    """An emptyDir is root's, mode 0777, and dag-sync runs as Airflow's user: chmod of it is not permitted."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    publish(memory, {"a.sql": b"select 1"})
    root = Path(tempfile.mkdtemp(dir="/tmp"))
    root.chmod(0o777)
    try:
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setuid(50000)
                os._exit(0 if syncer(root, memory).poll() else 1)
            except BaseException as error:
                os.write(2, repr(error).encode())
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert served(root) == {"a.sql": b"select 1"} and root.stat().st_uid == 0
    finally:
        shutil.rmtree(root)


# --- on disk ------------------------------------------------------------------------------------------------------


def test_modes_are_set_whatever_the_umask(moto: S3Server, bucket: S3Store, dag_sync: Start):
    publish(bucket, ONE)
    process = dag_sync(moto.endpoint, bucket.bucket, "--one-time", umask=0o077)
    assert process.ended() == 0
    paths = [process.root, process.root / ".airflowignore", process.root / ".store", process.root / ".store/packages"]
    folder = (process.root / "sales").resolve()
    for path in [*paths, folder.parent, folder, *folder.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o755 if path.is_dir() else 0o644), path


def test_the_ignore_file_is_there_before_the_first_link_and_restored(tmp_path: Path, memory: Memory):
    """Without it Airflow walks the store and dies of a directory seen twice."""
    publish(memory, ONE)
    sync = syncer(tmp_path, memory)
    ignore = tmp_path / ".airflowignore"
    assert ignore.read_bytes() == LINKS_IGNORE and not (tmp_path / "sales").exists()
    for harm in (ignore.unlink, lambda: ignore.write_bytes(b"x"), lambda: ignore.write_bytes(b"")):
        harm()
        sync.poll()
        assert ignore.read_bytes() == LINKS_IGNORE


def test_a_real_folder_in_the_place_of_a_link_is_left_alone_and_named(tmp_path: Path, memory: Memory):
    publish(memory, ONE)
    publish(memory, ONE, "finance")
    (tmp_path / "sales").mkdir()
    (tmp_path / "sales" / "mine.py").write_bytes(b"")
    sync = syncer(tmp_path, memory)
    sync.poll()
    assert action(sync) == "failed" and str(tmp_path / "sales") in reason(sync)
    assert (tmp_path / "sales" / "mine.py").exists() and served(tmp_path, "finance") == ONE
    publishing.remove(session(memory))
    sync.packages["sales"].retry_at = 0
    sync.poll()
    assert (tmp_path / "sales" / "mine.py").exists()


def test_a_link_of_somebody_else_is_replaced_and_its_target_left_alone(tmp_path: Path, memory: Memory):
    publish(memory, ONE)
    other = tmp_path / "other"
    other.mkdir()
    root = tmp_path / "dags"
    root.mkdir()
    (root / "sales").symlink_to(other)
    sync = syncer(root, memory)
    sync.poll()
    assert served(root) == ONE and other.is_dir() and list(other.iterdir()) == []


def test_a_replaced_version_is_kept_for_running_tasks_and_then_pruned(tmp_path: Path, memory: Memory):
    publish(memory, ONE)
    sync = syncer(tmp_path, memory, stale_timeout=600.0)
    sync.poll()
    old = (tmp_path / "sales").resolve()
    os.utime(old, (time.time() - 5000,) * 2)  # it was served for long
    publish(memory, TWO)
    sync.poll()
    sync.prune()
    assert (old / "dags/a.py").read_bytes() == b"x = 1\n", "a task that resolved the link reads on"
    assert sync.tree.prune(600, time.time() + 599) == []
    assert sync.tree.prune(600, time.time() + 601) == [f"sales/{old.name}"]
    assert not old.exists() and served(tmp_path) == TWO
    publishing.remove(session(memory))
    now = (tmp_path / "sales").resolve()
    os.utime(now, (time.time() - 5000,) * 2)
    sync.poll()
    sync.prune()
    assert now.exists() and not (tmp_path / "sales").is_symlink()


def test_every_python_file_is_touched_by_a_flip_and_twice_later(tmp_path: Path, memory: Memory):
    """Airflow parses by time: a DAG whose helper alone changed would stay old for 40 s."""
    publish(memory, ONE)
    sync = syncer(tmp_path, memory)
    sync.poll()
    publish(memory, {**ONE, "lib/h.py": b"y = 2\n"})
    before = time.time_ns()
    sync.poll()
    files = [tmp_path / "sales/dags/a.py", tmp_path / "sales/dags/lib/h.py"]
    assert all(f.stat().st_mtime_ns >= before - 10_000_000 for f in files)
    due = [sync.next_touch()]
    for _ in range(2):
        for file in files:
            os.utime(file, (1, 1))  # two touches may fall into one tick of the clock
        sync._touches = [(0.0 if at == min(a for a, _ in sync._touches) else at, f) for at, f in sync._touches]
        sync.touch()
        assert all(file.stat().st_mtime > 1 for file in files)
    assert due[0] is not None and sync.next_touch() is None


def test_packages_that_are_flipped_one_after_another_are_each_touched_later(tmp_path: Path, memory: Memory):
    sync = syncer(tmp_path, memory)
    for package in ("sales", "finance"):
        publish(memory, ONE, package)
        sync.poll()
    files = [tmp_path / package / "dags/a.py" for package in ("sales", "finance")]
    for file in files:
        os.utime(file, (1, 1))
    sync._touches = [(0.0, folder) for _, folder in sync._touches]
    sync.touch()
    assert all(file.stat().st_mtime > 1 for file in files)


def test_readers_that_resolve_the_link_once_never_see_two_versions(tmp_path: Path, memory: Memory):
    """1,000 flips between two versions, read all the while."""
    for version in (1, 2):
        publish(memory, {f"{n}.txt": b"%d" % version for n in range(3)}, "sales")
        syncer(tmp_path, memory).poll()
    one, two = sorted((tmp_path / ".store/packages/sales").glob("2*"))
    tree = syncer(tmp_path, memory).tree
    done = threading.Event()
    reads, mixed, errors = 0, 0, []

    def read() -> None:
        nonlocal reads, mixed
        while not done.is_set():
            try:
                folder = os.path.realpath(tmp_path / "sales")
                contents = {Path(folder, "dags", f"{n}.txt").read_bytes() for n in range(3)}
            except OSError as error:
                errors.append(error)
                return
            reads += 1
            mixed += len(contents) != 1

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for n in range(1000):
        tree.flip("sales", (one, two)[n % 2])
    wait_for(lambda: reads > 100)
    done.set()
    for thread in threads:
        thread.join()
    assert (mixed, errors) == (0, []) and reads > 100


def test_the_log_is_json_a_line(moto: S3Server, bucket: S3Store, dag_sync: Start):
    publish(bucket, ONE)
    write(bucket, protocol.pointer_key("dev", "finance"), b"\xff{")
    process = dag_sync(moto.endpoint, bucket.bucket)
    process.wait_until_served(ONE)
    process.wait(lambda: "refused" in process.text)
    process.stop()
    lines = [json.loads(line) for line in process.text.splitlines()]
    assert all({"time", "level", "message"} <= line.keys() for line in lines)
