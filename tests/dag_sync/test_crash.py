"""kill -9 before every single step of a sync: each call on the file system and each request."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_dag_publisher import publishing
from dag_sync_versions import Versions
from scripts.local.memory_store import Memory
from scripts.local.packages import publish, session
from tests.dag_sync.inside import leftovers, snapshot, syncer
from tests.helpers.dag_sync import served

ONE = {"a.py": b"x = 1\n", "sub/b.sql": b"select 1"}
TWO = {"a.py": b"x = 2\n", "sub/b.sql": b"select 1", "c/d.txt": b"new"}
STEPS = {
    "open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.utime",
    "os.truncate", "subprocess.Popen",
}  # fmt: skip


def killed_before(step: int, root: Path, store: Memory, work: Callable[[], Any]) -> bool:
    """Do `work` in a child that dies at once before its `step`-th step. Return whether it got that far."""
    child = os.fork()
    if child == 0:
        left = [step]

        def count(event: str, args: tuple[Any, ...]) -> None:
            if event in STEPS and (event != "open" or _writes(args)):
                left[0] -= 1
                if left[0] == 0:
                    os._exit(9)

        try:
            sys.addaudithook(count)
            for name in ("listing", "get", "stream"):
                _die_in(store, name, lambda: count("os.rename", ()))
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), f"the child failed at step {step}"
    return code == 9


def _writes(args: tuple[Any, ...]) -> bool:
    return bool(args[2] & (os.O_WRONLY | os.O_RDWR))


def _die_in(store: Memory, name: str, count: Callable[[], None]) -> None:
    real = getattr(store, name)

    def call(*args: Any, **kwargs: Any) -> Any:
        count()
        return real(*args, **kwargs)

    setattr(store, name, call)


def sync_once(root: Path, store: Memory) -> None:
    sync = syncer(root, store, stale_timeout=0.0)
    sync.poll()
    sync.prune()


@pytest.mark.parametrize(
    "scene",
    [
        "update",
        "removal",
        *(
            pytest.param(scene, marks=pytest.mark.exhaustive("delivery"))
            for scene in ("first sync", "refused", "damaged")
        ),
    ],
)
def test_killed_before_any_step_a_whole_version_is_served_and_a_new_run_heals(scene: str, tmp_path: Path):
    store = Memory()
    start, root = tmp_path / "start", tmp_path / "dags"
    before: dict[str, bytes] | None = None
    if scene == "first sync":
        start.mkdir()
    else:
        publish(store, ONE)
        sync_once(start, store)
        before = ONE
    after: dict[str, bytes] | None = TWO
    if scene == "removal":
        publishing.remove(session(store))
        after = None
    elif scene == "refused":
        publish(store, TWO | {"a.py": b"def ("})
        after = ONE
    elif scene == "damaged":
        (start / "sales").resolve().joinpath("dags/sub/b.sql").unlink()
        before, after = {"a.py": ONE["a.py"]}, ONE
    else:
        publish(store, TWO)
    step = 0
    while True:
        step += 1
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(start, root, symlinks=True)
        went_on = killed_before(step, root, store, lambda: sync_once(root, store))
        assert served(root) in (before, after), f"half a version after step {step}"
        link = root / "sales"
        assert link.exists() or not link.is_symlink(), f"the link leads nowhere after step {step}"
        again = syncer(root, store, stale_timeout=0.0)
        again.poll()
        again.prune()
        assert served(root) == after, f"not healed after step {step}"
        assert leftovers(root) == [], f"leftovers after step {step}"
        assert again.damaged() == []
        assert len(list((root / ".store/packages/sales").glob("2*"))) == (0 if after is None else 1)
        if not went_on:
            break
    assert step > 10, "the steps were not counted"


def test_killed_while_it_brings_an_old_version_back_it_has_all_of_it_or_none(tmp_path: Path) -> None:
    """And what is served is not touched; the next one who asks gets it."""
    store = Memory()
    old = publish(store, ONE)
    publish(store, TWO)
    start, root = tmp_path / "start", tmp_path / "dags"
    sync_once(start, store)
    step = 0
    while True:
        step += 1
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(start, root, symlinks=True)
        went_on = killed_before(step, root, store, lambda: Versions(syncer(root, store)).bring("sales", old))
        assert served(root) == TWO, f"what is served was touched at step {step}"
        again = syncer(root, store, stale_timeout=0.0)
        half = again.tree.newest("sales", old)
        assert half is None or again.tree.verify(half) is None, f"half a version after step {step}"
        folder = Versions(again).bring("sales", old)
        assert again.tree.verify(folder) is None and (folder / "dags/a.py").read_bytes() == ONE["a.py"]
        again.poll()
        again.prune()
        assert [p.name for p in (root / ".store/packages/sales").glob("2*")] == [again.tree.served_version("sales")]
        if not went_on:
            break
    assert step > 10, "the steps were not counted"


def test_a_first_sync_that_was_cut_goes_on_where_it_was(tmp_path: Path, memory: Memory):
    """On a slow link a pod that begins anew each time never starts."""
    publish(memory, {f"{n}.txt": b"%d" % n for n in range(20)})
    streams = 0
    real = memory.stream

    class Cut(BaseException):
        pass

    def stream(*args: Any) -> Any:
        nonlocal streams
        streams += 1
        if streams == 15:
            raise Cut
        return real(*args)

    memory.stream = stream  # type: ignore[method-assign]
    with pytest.raises(Cut):
        syncer(tmp_path, memory).poll()
    staged = len(leftovers(tmp_path)) - 1  # and the folder of the one cut off
    streams = 100
    syncer(tmp_path, memory).poll()
    assert served(tmp_path) is not None and leftovers(tmp_path) == []
    assert streams - 100 <= 20 - 14 and staged >= 13


def test_what_was_downloaded_for_a_version_that_came_to_nothing_does_not_pile_up(tmp_path: Path, memory: Memory):
    """The budget knows versions; a staging folder that grows with each cut download would evict the pod."""
    publish(memory, ONE)
    sync = syncer(tmp_path, memory)
    sync.poll()
    real = memory.stream
    for n in range(5):
        publish(memory, {f"{n}.txt": b"%d" % n, "last.txt": b"last of %d" % n})

        def stream(key: str, *args: Any) -> Any:
            if key.endswith("last.txt"):
                raise OSError(5, "the disk failed")
            return real(key, *args)

        memory.stream = stream  # type: ignore[method-assign]
        sync.poll()
        sync.packages["sales"].retry_at = 0
    assert len(leftovers(tmp_path)) <= 3
    assert served(tmp_path) == ONE


def test_two_runs_leave_the_same_tree(tmp_path: Path, memory: Memory):
    publish(memory, ONE)
    sync_once(tmp_path, memory)
    before = snapshot(tmp_path)
    sync_once(tmp_path, memory)
    assert snapshot(tmp_path) == before
