"""What one package does costs another nothing: not its time, not its place on the disk, not its health."""

from __future__ import annotations

import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dag_contents
import dag_http
import dag_protocol as protocol
import dag_sync_http
import dag_sync_lanes
from dag_contents import Limits, Undecided, check_contents
from dag_protocol import ProtocolError
from dag_store import Denied, S3Store
from dag_tree import Budget
from scripts.local.fault_proxy import FaultProxy
from scripts.local.memory_store import Memory
from scripts.local.packages import hand_make, publish
from scripts.local.ports import free_port
from scripts.local.waiting import PATIENCE, wait_for
from tests.dag_sync.inside import action, look_again, reason, syncer
from tests.helpers.dag_sync import Process, get, served

ONE, TWO = {"a.py": b"x = 1\n"}, {"a.py": b"x = 2\n"}
BLANKS = b" " * 900 + b"x\n"

Start = Callable[..., Process]


def slow_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, of: str) -> Path:
    """Have each check of a package that holds a file named `of` take for ever; return a file that ends this."""
    real, free = dag_contents.CHECKER, tmp_path / "free"
    checker = tmp_path / "slow_check.py"
    checker.write_text(
        f"import os, sys, time\nif os.path.exists(sys.argv[1] + '/{of}'):\n"
        f"    while not os.path.exists({str(free)!r}):\n        time.sleep(0.01)\n"
        f"os.execv(sys.executable, [sys.executable, '-I', {str(real)!r}, *sys.argv[1:]])\n"
    )
    monkeypatch.setattr(dag_contents, "CHECKER", checker)
    return free


def test_a_package_whose_check_takes_long_holds_up_nobody(
    tmp_path: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch
):
    """Adversary 7: another package's good publish was visible after two minutes."""
    monkeypatch.setattr(dag_sync_lanes, "QUICK_SECONDS", 0.2)
    free = slow_checks(tmp_path, monkeypatch, "bomb.py")
    sync = syncer(tmp_path / "dags", memory)
    publish(memory, {"bomb.py": b"b = 1\n"}, "bombs")
    sync.poll(patience=0.0)
    for n in range(3):
        publish(memory, {"a.py": b"x = %d\n" % n}, "sales")
        publish(memory, {"bomb.py": b"b = %d\n" % n}, "bombs")
        wait_for(lambda n=n: (sync.poll(patience=0.0), served(tmp_path / "dags") == {"a.py": b"x = %d\n" % n})[1])
    assert served(tmp_path / "dags", "bombs") is None
    free.touch()
    wait_for(lambda: (look_again(sync), sync.poll(patience=0.1), served(tmp_path / "dags", "bombs"))[2])


def test_a_get_that_hangs_neither_stops_the_loop_nor_the_others(proxy: FaultProxy, bucket: S3Store, dag_sync: Start):
    """Adversary 9: a poll took six minutes, and the probe restarted the pod."""
    gate = threading.Event()

    def hang(seen: Any) -> None:
        if "/bombs/dags/" in seen.path:
            gate.wait(PATIENCE)

    proxy.fault = hang
    publish(bucket, ONE, "bombs")
    port = free_port()
    process = dag_sync(proxy.endpoint, bucket.bucket, "--http-bind", f"127.0.0.1:{port}")
    process.wait(lambda: any("/bombs/dags/" in s.path for s in proxy.seen))
    try:
        for n in range(3):
            publish(bucket, {"a.py": b"x = %d\n" % n})
            process.wait_until_served({"a.py": b"x = %d\n" % n})
        assert get(port, "/healthz")[0] == 200 and process.serves("bombs") is None
    finally:
        gate.set()
    process.wait_until_served(ONE, "bombs")


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({".airflowignore": BLANKS * 19}, "more than the 16,384"),
        ({".airflowignore": b" " * 80_000}, "more than the 16,384"),
        ({".airflowignore": b" " * 2_000 + b"#\n"}, "longer than 1000 characters"),
        ({".airflowignore": b"*a*a*a*a*a*b\n"}, "more than 4 times"),
        ({"x/.airflowignore": b"a\n" * 6000, "y/.airflowignore": b"b\n" * 6000}, "bytes in all"),
        ({".airflowignore": b"[z-a]\n"}, "does not compile"),
        ({".airflowignore": b"\xff\n"}, "not UTF-8"),
    ],
    ids=["many blanks", "blanks", "a long line", "stars", "two files", "range", "bytes"],
)
def test_patterns_that_would_slow_airflow_down_are_refused(
    files: dict[str, bytes], why: str, tmp_path: Path, memory: Memory
):
    """Adversary 8, and what is like it."""
    last = publish(memory, ONE)
    sync = syncer(tmp_path, memory)
    sync.poll()
    hand_make(memory, {"a.py": b"x = 3\n", **files}, previous=last)
    sync.poll()
    assert action(sync) == "refused" and why in reason(sync) and served(tmp_path) == ONE


def test_patterns_within_the_rules_that_take_long_on_the_names_are_not_served(
    tmp_path: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch
):
    """Each star multiplies what a long name takes, so that even four are enough for hours."""
    names = {f"{'a' * 190}{n}.txt": b"" for n in range(200)}
    for name in names:
        (tmp_path / name).write_bytes(b"")
    (tmp_path / ".airflowignore").write_bytes(b"*a*a*a*b\n" * 500)
    with pytest.raises(Undecided, match=r"\.airflowignore"):
        check_contents(tmp_path, [*names, ".airflowignore"], Limits(cpu=2))


@pytest.mark.parametrize(
    "end",
    [b"PK\x06\x07" + b"\0" * 4 + b"\0" * 8 + b"\x07\0\0\0" + b"PK\x05\x06" + b"\xff" * 16 + b"\0\0"],
    ids=["several disks"],
)
def test_an_end_that_zipfile_fails_at_is_an_archive(end: bytes, tmp_path: Path, memory: Memory):
    """Adversary 10: it raised, and ended dag-adopter for everybody."""
    data = b"\0" * 100 + end
    with pytest.raises(ProtocolError, match="zip archive"):
        protocol.check_content("data.bin", data)
    last = publish(memory, ONE)
    hand_make(memory, {"data.bin": data}, previous=last)
    sync = syncer(tmp_path, memory)
    sync.poll()
    assert action(sync) == "refused" and "zip archive" in reason(sync) and served(tmp_path) == ONE


def test_a_whole_package_of_files_that_each_compile_is_served(tmp_path: Path):
    """Adversary 14: all files shared ten seconds. Here each needs most of one second, and has one to itself."""
    source = b"x = [" + b"(1, 'a', {'b': 2.5}),\n" * 12_000 + b"]\n"
    assert len(source) < protocol.MAX_PYTHON_BYTES
    for n in range(8):
        (tmp_path / f"{n}.py").write_bytes(source)
    before = os.times()
    check_contents(tmp_path, [f"{n}.py" for n in range(8)], Limits(cpu=1, wall=PATIENCE))
    after = os.times()
    assert after.children_user - before.children_user > 1, "more in all than one file may take"


def test_a_check_that_is_ended_for_its_time_is_undecided_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checker = tmp_path / "check.py"
    checker.write_text(
        "import resource, sys\nresource.setrlimit(resource.RLIMIT_CPU, (1, 2))\n"
        "sys.stderr.write('\\rbomb.py')\nsys.stderr.flush()\nwhile True:\n    pass\n"
    )
    monkeypatch.setattr(dag_contents, "CHECKER", checker)
    for limits in (Limits(cpu=1, wall=PATIENCE), Limits(cpu=1000, wall=0.5)):
        with pytest.raises(Undecided):
            check_contents(tmp_path, ["bomb.py"], limits)
    with pytest.raises(Undecided, match=r"bomb\.py"):
        check_contents(tmp_path, ["bomb.py"], Limits(cpu=1, wall=PATIENCE))


# --- the disk ---------------------------------------------------------------------------------------------------


def versions_of(root: Path, package: str) -> set[str]:
    return {p.name for p in (root / ".store/packages" / package).iterdir() if not p.name.startswith(".")}


def test_a_greedy_package_loses_its_own_kept_versions_and_nobody_elses(tmp_path: Path, memory: Memory):
    """Adversary 6: a running task of another package lost its files."""
    old = publish(memory, ONE)
    sync = syncer(tmp_path, memory, budget=Budget(1024**3, 60))
    sync.poll()
    publish(memory, TWO)
    sync.poll()
    assert old in versions_of(tmp_path, "sales")
    for n in range(12):
        publish(memory, {f"{k}.txt": b"%d" % n for k in range(10)}, "greedy")
        sync.poll()
        assert action(sync, "greedy") == "delivered", reason(sync, "greedy")
    assert old in versions_of(tmp_path, "sales"), "what a task may still read is there"
    assert len(versions_of(tmp_path, "greedy")) < 5


def test_a_package_within_its_share_finds_room_beside_a_greedy_one(tmp_path: Path, memory: Memory):
    sync = syncer(tmp_path, memory, budget=Budget(1024**3, 60))
    for n in range(4):
        publish(memory, {f"{k}.txt": b"%d" % n for k in range(10)}, "greedy")
        sync.poll()
    publish(memory, {f"{k}.txt": b"s" for k in range(20)})
    sync.poll()
    assert action(sync) == "delivered" and served(tmp_path, "greedy") is not None


def test_a_version_that_is_looked_at_is_not_pruned_meanwhile(tmp_path: Path, memory: Memory):
    first = publish(memory, ONE)
    sync = syncer(tmp_path, memory)
    sync.poll()
    publish(memory, TWO)
    sync.poll()
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with sync.tree.lock("sales"):
            held.set()
            done.wait(PATIENCE)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(PATIENCE)
    try:
        assert sync.tree.prune(0) == [] and first in versions_of(tmp_path, "sales")
    finally:
        done.set()
        thread.join()
    assert sync.tree.prune(0) == [f"sales/{first}"]


def test_a_file_system_that_has_no_more_links_gives_a_copy(
    tmp_path: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch
):
    """Adversary 12b: 2,000 files of equal contents reach it after some thirty versions."""
    real = Path.hardlink_to

    def hardlink_to(self: Path, target: Path) -> None:
        if Path(target).stat().st_nlink >= 3:
            raise OSError(errno.EMLINK, "too many links")
        real(self, target)

    monkeypatch.setattr(Path, "hardlink_to", hardlink_to)
    sync = syncer(tmp_path, memory)
    for n in range(3):
        files = {f"{k}.txt": b"the same in all of them" for k in range(10)} | {"n.py": b"n = %d\n" % n}
        publish(memory, files)
        assert sync.poll() and served(tmp_path) == files


# --- what is kept in memory and written ------------------------------------------------------------------------------


def test_what_is_known_of_refused_versions_and_said_of_them_is_bounded(
    tmp_path: Path, memory: Memory, capsys: pytest.CaptureFixture[str]
):
    """Adversary 15: ten pointers took 30 MB of memory and 34 MB of log."""
    last = publish(memory, ONE)
    sync = syncer(tmp_path, memory)
    sync.poll()
    capsys.readouterr()
    for n in range(20):
        name = "x" * 100_000 + str(n)
        last = hand_make(memory, {"a.py": f"# -*- coding: {name} -*-\nx = {n}\n".encode()}, previous=last)
        sync.poll()
    assert len(sync.packages["sales"].refused) <= protocol.MAX_FALLBACKS + 1
    assert len(reason(sync)) < 1000 and len(capsys.readouterr().out) < 20 * 8 * 1000


@pytest.fixture
def metrics_port(memory: Memory, tmp_path: Path) -> Iterator[int]:
    loop: Any = type("Loop", (), {"turning": True})()
    server = dag_sync_http.serve_http("127.0.0.1:0", syncer(tmp_path, memory), loop)
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


def test_a_connection_that_says_nothing_is_closed(metrics_port: int, monkeypatch: pytest.MonkeyPatch):
    """Adversary 12: each was a thread for ever."""
    monkeypatch.setattr(dag_http, "IDLE_SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", metrics_port)) as silent:
        silent.settimeout(PATIENCE)
        assert silent.recv(1) == b""


def test_whoever_holds_all_connections_a_probe_is_answered_and_the_oldest_ends(
    metrics_port: int, monkeypatch: pytest.MonkeyPatch
):
    """One that sends a byte now and then is never idle."""
    monkeypatch.setattr(dag_http, "MAX_CONNECTIONS", 3)
    held = [socket.create_connection(("127.0.0.1", metrics_port)) for _ in range(3)]
    for one in held:
        one.sendall(b"GET /hea")
        one.settimeout(PATIENCE)
    assert get(metrics_port, "/healthz")[0] == 200
    assert held[0].recv(1) == b""
    held[2].sendall(b"lthz HTTP/1.1\r\n\r\n")
    assert held[2].recv(12) == b"HTTP/1.0 200"
    for one in held:
        one.close()


# --- time is no property of content -----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["manifest", "file", "garbled"])
def test_what_was_away_for_a_moment_is_served_later_without_a_new_pod(case: str, tmp_path: Path, memory: Memory):
    """Adversary 13: refused for the life of the process, while a new pod served it."""
    publish(memory, ONE)
    sync = syncer(tmp_path, memory)
    sync.poll()
    version = publish(memory, TWO)
    key = protocol.manifest_key("dev", "sales", version) if case == "manifest" else "dev/sales/dags/a.py"
    whole = memory.objects[key]
    if case == "garbled":
        memory.objects[key] = tuple(type(v)(v.version_id, b"x = 9\n", v.tag) for v in whole)
    else:
        del memory.objects[key]
    sync.poll()
    assert served(tmp_path) == ONE and action(sync) == "refused"
    memory.objects[key] = whole
    sync.poll()
    assert served(tmp_path) == ONE, "not before a pause"
    look_again(sync)
    sync.poll()
    assert served(tmp_path) == TWO and action(sync) == "delivered"


def test_a_bad_version_that_stays_bad_is_not_fetched_again_and_again(tmp_path: Path, memory: Memory):
    last = publish(memory, ONE)
    hand_make(memory, {"a.py": b"def ("}, previous=last)
    sync = syncer(tmp_path, memory)
    sync.poll()
    look_again(sync)
    gets: list[str] = []
    real = memory.get
    memory.get = lambda key, *more: (gets.append(key), real(key, *more))[1]  # type: ignore[method-assign,func-returns-value]
    assert sync.poll() and gets == [] and action(sync) == "refused"


def test_an_old_dag_sync_serves_the_newest_version_that_it_understands(tmp_path: Path, memory: Memory):
    """Adversary 2: a new pod served nothing."""
    last = publish(memory, ONE)
    hand_make(memory, TWO, previous=last, pointer_changes={"schema": 2}, manifest_changes={"schema": 2})
    sync = syncer(tmp_path, memory)
    sync.poll()
    assert served(tmp_path) == ONE and action(sync) == "refused" and "schema 2" in reason(sync) and sync.ready
    newer = publish_over(memory)
    sync.poll()
    assert served(tmp_path) == newer and action(sync) == "delivered"


def publish_over(memory: Memory) -> dict[str, bytes]:
    """A version of today's schema on top, as a roll-back of the tools would write it."""
    files = {"a.py": b"x = 5\n"}
    hand_make(memory, files)
    return files


def gone(memory: Memory, files: dict[str, bytes]) -> None:
    """Publish a version whose bytes are not there."""
    publish(memory, files)
    key = "dev/sales/dags/a.py"
    memory.objects[key] = tuple(v for v in memory.objects[key] if v.data != files["a.py"])


def test_what_mends_a_refused_version_is_served_at_once(tmp_path: Path, memory: Memory):
    publish(memory, ONE)
    sync = syncer(tmp_path, memory)
    sync.poll()
    gone(memory, {"a.py": b"x = 'gone'\n"})
    for _ in range(6):
        sync.poll()
        look_again(sync)
    sync.poll()
    for files in (TWO, {"a.py": b"x = 3\n"}, {"a.py": b"x = 4\n"}):
        publish(memory, files)
        sync.poll()
        assert served(tmp_path) == files
    look_again(sync)
    gets: list[str] = []
    real = memory.get
    memory.get = lambda key, *more: (gets.append(key), real(key, *more))[1]  # type: ignore[method-assign,func-returns-value]
    assert sync.poll() and gets == [], "an old refusal behind what is served is nobody's business"


def test_what_mends_a_broken_pointer_is_served_at_once(tmp_path: Path, memory: Memory):
    publish(memory, ONE)
    sync = syncer(tmp_path, memory)
    sync.poll()
    for n in range(4):
        memory.write(protocol.pointer_key("dev", "sales"), b"{%d" % n)
        sync.poll()
        look_again(sync)
    assert action(sync) == "refused"
    publish(memory, TWO)
    sync.poll()
    assert served(tmp_path) == TWO


def test_a_new_pod_serves_an_older_version_while_the_newest_takes_long(
    tmp_path: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dag_sync_lanes, "QUICK_SECONDS", 0.2)
    monkeypatch.setattr(dag_sync_lanes, "SLOW_SECONDS", (5.0, 60.0))
    last = publish(memory, ONE)
    slow_checks(tmp_path, monkeypatch, "bomb.py")
    hand_make(memory, {"bomb.py": b"b = 1\n"}, previous=last)
    sync = syncer(tmp_path / "dags", memory)
    wait_for(lambda: (sync.poll(patience=0.1), served(tmp_path / "dags") == ONE)[1])
    old = syncer(tmp_path / "dags", memory)  # restarted with it on its disk
    old.poll(patience=0.0)
    assert served(tmp_path / "dags") == ONE


def test_many_pointers_of_a_newer_schema_are_read_up_to_a_number(tmp_path: Path, memory: Memory):
    last = publish(memory, ONE)
    for _ in range(60):
        last_document = hand_make(memory, TWO, pointer_changes={"schema": 2})
    assert last and last_document
    sync = syncer(tmp_path, memory)
    gets: list[str] = []
    real = memory.get
    memory.get = lambda key, *more: (gets.append(key), real(key, *more))[1]  # type: ignore[method-assign,func-returns-value]
    sync.poll()
    assert len(gets) <= protocol.MAX_PAST_POINTERS + 1 and action(sync) == "refused"


def test_what_became_live_meanwhile_does_not_give_way(tmp_path: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch):
    """A version is looked at as retired, and is served when its package can be locked."""
    publish(memory, ONE)
    sync = syncer(tmp_path, memory, budget=Budget(1024**3, 12))
    sync.poll()
    publish(memory, {f"{n}.txt": b"%d" % n for n in range(3)})
    sync.poll()
    tree, real = sync.tree, sync.tree._holdings
    retired = tree._retired("sales")
    assert len(retired) == 1

    def holdings() -> Any:
        found = real()
        tree.flip("sales", retired[0])  # between the look and the lock
        return found

    monkeypatch.setattr(tree, "_holdings", holdings)
    tree._give_way("other")
    serving = tree.serving("sales")
    assert serving == retired[0] and (serving / "dags").is_dir()


def test_a_pointer_that_cannot_be_read_is_not_asked_for_at_each_poll(tmp_path: Path, memory: Memory):
    publish(memory, ONE)
    asked: list[str] = []

    def get(key: str, *_: Any) -> Any:
        asked.append(key)
        raise Denied("cannot read it: access denied")

    memory.get = get  # type: ignore[method-assign]
    sync = syncer(tmp_path, memory)
    for _ in range(20):
        sync.poll()
    assert len(asked) == 1 and action(sync) == "failed"
