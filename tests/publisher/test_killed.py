"""SIGKILL at each request of each program that writes: what was live is served, and the next one just works."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import dag_package
import dag_protocol as protocol
from airflow_dag_publisher import publishing, restore
from dag_store import S3Store
from scripts.local.fault_proxy import FaultProxy, Seen
from scripts.local.packages import publish, session, write
from scripts.local.s3_servers import S3Server
from scripts.local.waiting import PATIENCE, wait_for
from tests.helpers.forks import Forks

Files = dict[str, bytes]
ONE, TWO = {"a.py": b"x = 1\n", "b.py": b"y = 1\n"}, {"a.py": b"x = 2\n", "c.py": b"z = 2\n"}
EDITED = ONE | {"a.py": b"x = 'by hand'\n"}
PREFIX = protocol.files_prefix("dev", "sales")
SALES = ("--package-name", "sales")


def one(bucket: S3Store) -> None:
    publish(bucket, ONE)


def two(bucket: S3Store) -> None:
    publish(bucket, ONE)
    publish(bucket, TWO)


def removed(bucket: S3Store) -> None:
    publish(bucket, ONE)
    publishing.remove(session(bucket))


def edited(bucket: S3Store) -> None:
    publish(bucket, ONE)
    write(bucket, PREFIX + "a.py", EDITED["a.py"])


def damaged(bucket: S3Store) -> None:
    publish(bucket, ONE)
    bucket.delete(PREFIX + "a.py", bucket.listing(PREFIX)[PREFIX + "a.py"].etag)
    write(bucket, PREFIX + "left.py", b"", "20260101T000000Z-00000000")


PUBLISHER, ADOPTER = "airflow_dag_publisher.cli:main", "dag_adopter:main"


@dataclass(frozen=True)
class Scene:
    """A program, the bucket that it begins with, and what is served in turn while it runs."""

    start: Callable[[S3Store], None]
    words: tuple[str, ...]
    served: tuple[Files | None, ...]
    program: str = PUBLISHER


PUBLISH = ("publish", *SALES, "--no-validate", "--dags-dir")  # and the folder of TWO
SCENES = {
    "publish": Scene(one, PUBLISH, (ONE, TWO)),
    "first publish": Scene(lambda _: None, PUBLISH, (None, TWO)),
    "publish over an edit": Scene(edited, PUBLISH, (ONE, EDITED, TWO)),
    "rollback": Scene(two, ("rollback", *SALES), (TWO, ONE)),
    "restore": Scene(removed, ("restore", *SALES), (None, ONE)),
    "remove": Scene(one, ("remove", *SALES, "--yes"), (ONE, None)),
    "remove with an edit": Scene(edited, ("remove", *SALES, "--yes"), (ONE, EDITED, None)),
    "repair": Scene(damaged, ("repair", *SALES), (ONE, ONE)),
    "adopt": Scene(edited, ("adopt",), (ONE, EDITED)),
    "dag-adopter": Scene(edited, ("--one-time",), (ONE, EDITED), ADOPTER),
}


IN_PART, IN_FULL = ("publish", "remove with an edit", "dag-adopter"), pytest.mark.exhaustive("publisher")


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Forks]]:
    log = tmp_path_factory.mktemp("programs") / "log"
    with Forks(PUBLISHER, log) as publisher, Forks(ADOPTER, log, {"dag_adopter:SETTLE": 0.01}) as adopter:
        yield {PUBLISHER: publisher, ADOPTER: adopter}


def served(bucket: S3Store) -> Files | None:
    """What a new pod serves."""
    live = dag_package.read_live(session(bucket))
    if live.pointer is None or live.removed:
        return None
    return {f.path: bucket.get(PREFIX + f.path, 1 << 20, f.version_id)[0] for f in live.files.values()}


class Reaper:
    """Kills a program at its `number`-th request: before that is sent on, or (`done`) it was done and is not answered."""

    def __init__(self, program: Forks, number: int, done: bool) -> None:
        self.program, self.number, self.done = program, number, done
        self.started, self.at = threading.Event(), None

    def __call__(self, seen: Seen) -> str | None:
        if seen.number < self.number:
            return None
        if seen.number > self.number:
            return "drop"
        self.at = seen
        if self.done:
            return "lose"
        self.started.wait(PATIENCE)
        self.program.kill()
        return "drop"


def killed_at(
    number: int, done: bool, program: Forks, words: list[str], env: dict[str, str], proxy: FaultProxy
) -> Seen | None:
    """Run it till it is killed at a request. Return that, or None if it ended before."""
    proxy.forget()
    reaper = Reaper(program, number, done)
    proxy.fault = reaper  # type: ignore[assignment]
    program.start(words, env)
    reaper.started.set()
    wait_for(lambda: proxy.lost or program.ended is not None)
    program.kill()
    return reaper.at


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name in IN_PART else IN_FULL) for name in SCENES])
def test_killed_at_any_request_whole_versions_are_served_and_the_next_run_just_works(
    name: str, programs: dict[str, Forks], proxy: FaultProxy, bucket: S3Store, moto: S3Server, tmp_path: Path
):
    scene = SCENES[name]
    scene.start(bucket)
    (tmp_path / "dags").mkdir()
    for path, data in TWO.items():
        (tmp_path / "dags" / path).write_bytes(data)
    words = [*scene.words, *([str(tmp_path / "dags")] if scene.words[0] == "publish" else [])]
    env = {**moto.environment, "AWS_ENDPOINT_URL": proxy.endpoint, "HOME": str(tmp_path), "DAG_SYNC_BUCKET": bucket.bucket,
           "DAG_SYNC_ENVIRONMENT": "dev", "AIRFLOW_PLATFORM_BUCKET": bucket.bucket, "AIRFLOW_PLATFORM_ENV": "dev"}  # fmt: skip
    program = programs[scene.program]
    now, number, writes, at = 0, 0, 0, None
    while number == 0 or at:
        number += 1
        for done in (False, True):
            if done and (at is None or at.method not in ("PUT", "DELETE")):
                continue  # what reads alone leaves the bucket as it is
            writes += done
            at = killed_at(number, done, program, words, env, proxy)
            after = served(bucket)
            assert after in scene.served[now:], f"killed at request {number} ({at}, done: {done}), {after} is served"
            now = scene.served.index(after, now)
            if after == scene.served[-1] and len(set(map(str, scene.served))) > 1 and scene.words[0] != "remove":
                at = None  # the commit is the last that it writes
                break
    assert writes >= 1 and number > 5, f"nothing was killed: {program.log.read_text()}"
    proxy.forget()
    if scene.words[0] not in ("rollback", "restore"):  # again, those bring back something else
        program.start(words, env)
        assert program.wait() in (0, 5), f"the next run just works, or has nothing to do: {program.log.read_text()}"
    assert served(bucket) == scene.served[-1]
    if scene.words[0] not in ("publish", "repair", "remove"):
        restore.repair(session(bucket))
        assert served(bucket) == scene.served[-1]
    assert set(bucket.listing(PREFIX)) == {PREFIX + path for path in scene.served[-1] or ()}
