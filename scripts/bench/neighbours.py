"""How long one package's publish takes to be served while another one publishes a bomb each second.

A bomb is a file that takes Python seconds to compile, in 800 bytes: each nested `finally` doubles the work. Every second there is a new pointer with
six of them, the most that dag-sync looks at.
"""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from dag_store import S3Store
from scripts.bench import rig
from scripts.local.packages import hand_make
from scripts.local.ports import free_port
from scripts.local.s3_servers import S3Server
from scripts.local.waiting import wait_for

P95_SECONDS = 5.0
DEPTH = 19  # about ten seconds of CPU


def run(quick: bool = False) -> dict[str, Any]:
    """Publish beside the bombs, and without them."""
    publishes = 3 if quick else 60
    with rig.scratch() as folder, rig.server(folder / "s3") as server:
        rows = [_row(bombs, publishes, folder / name, server) for name, bombs in (("quiet", False), ("bombs", True))]
    bombed = rows[-1]
    return {
        "publishes": publishes, "rows": rows,
        "targets": [
            {"what": "p95 from a publish to served, beside a bomb a second (s)", "measured": bombed["p95"], "at_most": P95_SECONDS,
             "met": bombed["p95"] <= P95_SECONDS},
            {"what": "answers of /healthz other than 200 meanwhile", "measured": bombed["unhealthy"], "at_most": 0,
             "met": bombed["unhealthy"] == 0},
        ],
    }  # fmt: skip


def bomb(number: int) -> bytes:
    """A file of 800 bytes that takes seconds to compile."""
    lines = [f"def bomb_{number}():"]
    for depth in range(1, DEPTH + 1):
        lines += [" " * depth + "try: pass", " " * depth + "finally:"]
    return "\n".join([*lines, " " * (DEPTH + 1) + "return\n"]).encode()


def _row(bombs: bool, publishes: int, folder: Path, server: S3Server) -> dict[str, Any]:
    folder.mkdir()
    store, port, stop = server.bucket(f"{rig.BUCKET}-{folder.name}"), free_port(), threading.Event()
    health: list[int] = []
    command = [*rig.DAG_SYNC, "--bucket", store.bucket, "--environment", rig.ENVIRONMENT, "--root", str(folder / "dags"),
               "--http-bind", f"127.0.0.1:{port}"]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=rig.variables(server.endpoint), stdout=log, stderr=log)
    threads = [threading.Thread(target=_ask, args=(port, health, stop))]
    if bombs:
        threads.append(threading.Thread(target=_throw, args=(store, stop)))
    try:
        wait_for(lambda: _status(port) == 200)
        for thread in threads:
            thread.start()
        seconds = sorted(_publish(store, folder / "dags", n) for n in range(publishes))
        assert process.poll() is None, "dag-sync ended"
    finally:
        stop.set()
        for thread in threads:
            if thread.ident:
                thread.join()
        process.kill()
        process.wait()
    return {
        "beside": "a bomb each second" if bombs else "nothing", "p50": round(seconds[len(seconds) // 2], 2),
        "p95": round(seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))], 2), "worst": round(seconds[-1], 2),
        "asked": len(health), "unhealthy": sum(status != 200 for status in health),
    }  # fmt: skip


def _publish(store: S3Store, dags: Path, number: int) -> float:
    data = f"x = {number}\n".encode()
    rig.publish(store, "sales", {"a.py": data})
    started = time.monotonic()
    file = dags / "sales" / "dags" / "a.py"
    wait_for(lambda: file.exists() and file.read_bytes() == data)
    return time.monotonic() - started


def _throw(store: S3Store, stop: threading.Event) -> None:
    last: str | None = None
    for number in itertools.count():
        last = hand_make(store, {"bomb.py": bomb(number)}, package="bombs", previous=last)
        if stop.wait(1.0):
            return


def _ask(port: int, health: list[int], stop: threading.Event) -> None:
    while not stop.wait(0.25):
        health.append(_status(port))


def _status(port: int) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
