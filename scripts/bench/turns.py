"""Runs many idle turns of dag-sync's loop, or of the adopter's, in a process of their own: what one turn costs, without the start.

Started as `python -m scripts.bench.turns dag-sync|adopter BUCKET TURNS RESULT [ROOT]`.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

from dag_adopter import Adopter
from dag_store import S3Store
from dag_sync_fetch import Bucket
from dag_sync_requests import Requests
from dag_sync_syncer import Syncer
from dag_tree import Tree
from scripts.bench.rig import ENVIRONMENT


def sync_turn(bucket: str, root: Path) -> Callable[[], object]:
    """One turn of dag-sync's loop with nothing new: what `Loop.run` does, but for the rest at its end."""
    syncer = Syncer(Bucket(S3Store(bucket), ENVIRONMENT), Tree(root))
    requests = Requests(root)
    lock = requests.own()
    syncer.start()

    def turn() -> None:
        assert lock
        requests.waiting()
        if not syncer.poll():
            raise RuntimeError("a poll failed")
        syncer.prune()
        syncer.touch()

    return turn


def adopter_turn(bucket: str) -> Callable[[], object]:
    """One pass of the adopter with nothing to adopt."""
    adopter = Adopter(S3Store(bucket), ENVIRONMENT)
    return lambda: adopter.look({})


def main() -> None:
    """Measure."""
    what, bucket, turns, result, *rest = sys.argv[1:]
    turn = sync_turn(bucket, Path(rest[0])) if what == "dag-sync" else adopter_turn(bucket)
    turn()
    turn()
    started, before = time.monotonic(), _cpu()
    for _ in range(int(turns)):
        turn()
    figures = {
        "wall": (time.monotonic() - started) / int(turns),
        "cpu": (_cpu() - before) / int(turns),
        "rss_mib": _peak_mib(),
    }
    Path(result).write_text(json.dumps(figures))


def _cpu() -> float:
    return sum(getrusage(who).ru_utime + getrusage(who).ru_stime for who in (RUSAGE_SELF, RUSAGE_CHILDREN))


def _peak_mib() -> float:
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
