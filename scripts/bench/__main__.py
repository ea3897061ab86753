"""The command: measure parts, write their JSON, then the tables and plots."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.bench import cluster, faults, latency, machine, mixed, neighbours, polls, report, terraform
from scripts.pinned import ROOT

PARTS: dict[str, Callable[[bool], dict[str, Any]]] = {
    "latency": latency.run, "polls": polls.run, "faults": faults.run, "mixed": mixed.run,
    "neighbours": neighbours.run,
    "terraform": terraform.run, "cluster": cluster.run,
}  # fmt: skip
RESULTS = ROOT / "docs" / "benchmarks"


def measure(part: str, quick: bool) -> dict[str, Any]:
    """Run one part. Return its result with what it was measured on."""
    described, started = machine.describe(), time.monotonic()
    result = PARTS[part](quick)
    load = [round(one, 2) for one in os.getloadavg()]
    return {"part": part, "quick": quick, "machine": {**described, "load_at_end": load},
            "minutes": round((time.monotonic() - started) / 60, 1), **result}  # fmt: skip


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.bench", description="Measures, and writes docs/benchmarks."
    )
    parser.add_argument(
        "part",
        nargs="*",
        metavar="PART",
        help=f"of {', '.join(PARTS)}, `report` for tables and plots alone; default: all",
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that it runs; needs --to")
    parser.add_argument("--to", type=Path, default=RESULTS, help="folder of the results")
    args = parser.parse_args()
    unknown = set(args.part) - PARTS.keys() - {"report"}
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    if args.quick and args.to == RESULTS:
        parser.error("quick figures are none to publish: name another folder with --to")
    args.to.mkdir(parents=True, exist_ok=True)
    for part in args.part or PARTS:
        if part in PARTS:
            result = measure(part, args.quick)
            (args.to / f"{part}.json").write_text(json.dumps(result, indent=1) + "\n")
            for target in result["targets"]:
                print(
                    f"{part}: {target['what']}: {target['measured']} (at most {target['at_most']}) {'' if target['met'] else 'MISSED'}"
                )
    report.write(args.to)


if __name__ == "__main__":
    main()
