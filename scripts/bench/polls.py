"""What a poll with nothing new costs, and what a first delivery costs, beside other programs in the same run.

Programs take turns, round by round. Requests and bytes are counted by a proxy in a pass of its own: it would else be
part of the CPU and the wall time of all.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import dag_protocol as protocol
from dag_store import S3Store
from dag_sync_fetch import Bucket
from scripts.bench import peers, rig
from scripts.bench.peers import OURS, Peer
from scripts.bench.rig import BUCKET, Run, measured
from scripts.local.fault_proxy import FaultProxy
from scripts.local.s3_servers import S3Server

PACKAGES = 20
TURNS = 100
ADOPTER = "dag-adopter"
START = "aws --version"


def run(quick: bool = False) -> dict[str, Any]:
    """Measure each size."""
    sizes = (20, 40) if quick else (100, 1_000, 10_000)
    rounds = 1 if quick else 3
    others, versions, missing = peers.available()
    if quick:
        others = others[:1]
    result: dict[str, Any] = {"packages": PACKAGES, "rounds": rounds, "turns": 3 if quick else TURNS, "programs": versions,
                              "left_out": missing, "idle": [], "first": [], "ratios": []}  # fmt: skip
    for size in sizes:
        with rig.scratch() as folder, rig.server(folder / "s3") as server:
            _fill(server, size)
            bench = _Size(server, folder, size, others, result["turns"])
            first = [bench.first(n) for n in range(rounds)]
            idle = [bench.idle() for _ in range(rounds)]
            result["first"] += _rows(size, first, bench.count_first() if size <= 1_000 else {})
            result["idle"] += _rows(size, idle, bench.count_idle())
            result["ratios"].append(_ratios(size, first, idle))
    result["listing"] = [_listing(count) for count in ((9, 10) if quick else (999, 1_000))]
    result["targets"] = _targets(result)
    return result


def _listing(packages: int) -> dict[str, int]:
    """Requests and bytes of a poll's listing with so many packages and the marker."""
    with rig.scratch() as folder, rig.server(folder / "s3") as server, FaultProxy(server.endpoint) as proxy:
        store = server.bucket(BUCKET)
        with ThreadPoolExecutor(8) as pool:
            list(
                pool.map(
                    lambda n: store.put(protocol.pointer_key(rig.ENVIRONMENT, f"team{n:04d}"), b"{}"), range(packages)
                )
            )
        through = S3Store(BUCKET, client=replace(server, endpoint=proxy.endpoint).client())
        assert len(Bucket(through, rig.ENVIRONMENT).pointers()) == packages
        return {"packages": packages, "requests": len(proxy.seen), "bytes": proxy.bytes_down}


def _fill(server: S3Server, size: int) -> None:
    store = server.bucket(BUCKET)
    for number in range(PACKAGES):
        rig.publish(store, f"team{number:02d}", rig.small_files(size // PACKAGES, f"Of team {number}."))


class _Size:
    """The measurements at one size."""

    def __init__(self, server: S3Server, folder: Path, size: int, others: list[Peer], turns: int) -> None:
        self.server = server
        self.folder = folder
        self.size = size
        self.others = others
        self.turns = turns

    def first(self, number: int) -> dict[str, Run]:
        """A first delivery by each program into an empty folder; the last round's folders stay."""
        runs = {}
        for peer in (OURS, *self.others):
            if peer.first:
                target = self._target(peer)
                shutil.rmtree(target, ignore_errors=True)
                runs[peer.name] = self._checked(peer, measured(peers.sync(peer, BUCKET, target), self.server.endpoint))
        if number == 0:
            for peer in self.others:
                if not peer.first:
                    measured(peers.sync(peer, BUCKET, self._target(peer)), self.server.endpoint)
        return runs

    def idle(self) -> dict[str, Run]:
        """A poll with nothing new by each program."""
        runs = {
            peer.name: measured(peers.sync(peer, BUCKET, self._target(peer)), self.server.endpoint)
            for peer in self.others
        }
        runs[START] = measured([str(rig.BIN / "aws"), "--version"], self.server.endpoint)
        runs[OURS.name] = self._turns("dag-sync", self.server.endpoint, self.turns)
        runs[ADOPTER] = self._turns("adopter", self.server.endpoint, max(3, self.turns // 20))
        return runs

    def count_first(self) -> dict[str, tuple[int, int]]:
        """Requests and bytes of a first delivery."""
        counts = {}
        with FaultProxy(self.server.endpoint) as proxy:
            for peer in (OURS, *self.others):
                if peer.first:
                    proxy.forget()
                    measured(peers.sync(peer, BUCKET, self.folder / "counted" / peer.name), proxy.endpoint)
                    counts[peer.name] = (len(proxy.seen), proxy.bytes_down)
        return counts

    def count_idle(self) -> dict[str, tuple[int, int]]:
        """Requests and bytes of a poll with nothing new."""
        counts = {}
        with FaultProxy(self.server.endpoint) as proxy:
            for peer in self.others:
                proxy.forget()
                measured(peers.sync(peer, BUCKET, self._target(peer)), proxy.endpoint)
                counts[peer.name] = (len(proxy.seen), proxy.bytes_down)
            for what, name in (("dag-sync", OURS.name), ("adopter", ADOPTER)):
                seen = []
                for turns in (1, 6):  # the difference is five turns, without the start
                    proxy.forget()
                    self._turns(what, proxy.endpoint, turns)
                    seen.append((len(proxy.seen), proxy.bytes_down))
                counts[name] = ((seen[1][0] - seen[0][0]) // 5, (seen[1][1] - seen[0][1]) // 5)
        return counts

    def _turns(self, what: str, endpoint: str, turns: int) -> Run:
        result = self.folder / "turns.json"
        command = [
            sys.executable,
            "-m",
            "scripts.bench.turns",
            what,
            BUCKET,
            str(turns),
            str(result),
            str(self._target(OURS)),
        ]
        done = measured(command, endpoint)
        if done.status != 0:
            raise RuntimeError(f"{what} at {self.size} files: {done.output[-2000:]}")
        figures = json.loads(result.read_text())
        return Run(0, figures["wall"], figures["cpu"], figures["rss_mib"])

    def _target(self, peer: Peer) -> Path:
        return self.folder / "to" / peer.name.replace(" ", "")

    def _checked(self, peer: Peer, run: Run) -> Run:
        found = sum(1 for n in range(PACKAGES) for _ in (self._target(peer) / f"team{n:02d}" / "dags").glob("*.py"))
        if run.status != 0 or found != self.size:
            raise RuntimeError(
                f"{peer.name} ended with {run.status} and {found} of {self.size} files: {run.output[-500:]}"
            )
        return run


def _rows(size: int, rounds: list[dict[str, Run]], counts: dict[str, tuple[int, int]]) -> list[dict[str, Any]]:
    rows = []
    for name in rounds[0]:
        runs = [one[name] for one in rounds]
        requests, down = counts.get(name, (None, None))
        rows.append({
            "files": size, "program": name, "requests": requests, "bytes": down,
            "cpu": round(median(r.cpu for r in runs), 5), "wall": round(median(r.wall for r in runs), 4),
            "rss_mib": round(max(r.rss_mib for r in runs), 1),
        })  # fmt: skip
    return rows


def _ratios(size: int, first: list[dict[str, Run]], idle: list[dict[str, Run]]) -> dict[str, Any]:
    """Beside `aws s3 sync`, round by round."""
    aws: dict[str, list[float]] = defaultdict(list)
    for one in idle:
        aws["idle_cpu"].append(one["aws s3 sync"].cpu / one[OURS.name].cpu)
        aws["start_cpu"].append(one[START].cpu / one[OURS.name].cpu)
    for one in first:
        aws["first_wall"].append(one[OURS.name].wall / one["aws s3 sync"].wall)
        aws["first_cpu"].append(one[OURS.name].cpu / one["aws s3 sync"].cpu)
    return {
        "files": size,
        **{k: {"median": round(median(v), 3), "all": [round(x, 3) for x in v]} for k, v in aws.items()},
    }


def _targets(result: dict[str, Any]) -> list[dict[str, Any]]:
    ours = {row["files"]: row for row in result["idle"] if row["program"] == OURS.name}
    first = {row["files"]: row for row in result["first"] if row["program"] == OURS.name}
    ratios = {row["files"]: row for row in result["ratios"]}
    small, large = min(ours), max(ours)
    middle = sorted(ours)[len(ours) // 2]
    rows = [
        (f"requests of a poll with {result['listing'][0]['packages']} packages", result["listing"][0]["requests"], 1),
        ("requests of a poll, any number of files", max(r["requests"] for r in ours.values()), 1),
        (f"CPU of a poll at {large:,} files, to {small:,}", round(ours[large]["cpu"] / ours[small]["cpu"], 2), 1.2),
        (
            f"bytes of a poll at {large:,} files, to {small:,}",
            round(ours[large]["bytes"] / ours[small]["bytes"], 3),
            1.2,
        ),
        (
            f"CPU of a poll at {middle:,} files, to `aws s3 sync`",
            round(1 / ratios[middle]["idle_cpu"]["median"], 5),
            0.01,
        ),
        ("peak memory of dag-sync, MiB", max(r["rss_mib"] for r in (*ours.values(), *first.values())), 64),
        (
            f"wall time of a first delivery of {large:,} files, to `aws s3 sync`",
            ratios[large]["first_wall"]["median"],
            0.6,
        ),
    ]
    return [{"what": what, "measured": value, "at_most": limit, "met": value <= limit} for what, value, limit in rows]
