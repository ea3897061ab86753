"""The whole job on this machine: a fake AWS with IAM, the real Terraform modules, real roles, dag-sync, a real Airflow.

Each step says what was seen and how long it took. Ends with 0 only if every step was seen.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from scripts.demo import steps
from scripts.demo.demo import Demo, console, percentile
from scripts.demo.ui import show_ui
from scripts.local.airflow import Airflow, fresh
from scripts.local.fake_aws import FakeAWS
from scripts.pinned import ROOT


def summary(demo: Demo) -> None:
    """The last lines."""
    table = Table(title="What was seen", title_justify="left", box=None, pad_edge=False)
    for column in ("step", "seconds", "seen"):
        table.add_column(column, justify="right" if column == "seconds" else "left", overflow="fold")
    for name, seen, seconds in demo.rows:
        table.add_row(name, f"{seconds:.1f}", seen)
    table.add_row("all", f"{sum(row[2] for row in demo.rows):.1f}", "every step was seen")
    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print("", table)
    console.print(
        f"\npublish to visible, {len(demo.latencies)} times: p50 {percentile(demo.latencies, 50):.1f} s, "
        f"p95 {percentile(demo.latencies, 95):.1f} s (promise: p95 at most 5 s)"
    )


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--ui", action="store_true", help="leave Airflow's UI running at the end")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / ".build" / "demo", help="for logs and state; emptied first"
    )
    args = parser.parse_args()
    folder = fresh(args.folder)
    shutil.copytree(ROOT / "examples", folder / "src")
    database = os.environ.get("DEMO_DATABASE_URL")
    airflow = Airflow(folder / "airflow", folder / "airflow" / "dags", database)
    try:
        if airflow.in_use():
            sys.exit(
                "make demo: the database of DEMO_DATABASE_URL has DAGs already, which would be taken for seen; give an empty one"
            )
    except RuntimeError as error:
        sys.exit(f"make demo: {error}")
    console.print(
        f"The whole job, on a fake AWS and a real Airflow with {'PostgreSQL' if database else 'SQLite'}; logs in {os.path.relpath(folder)}"
    )
    with ExitStack() as stack:
        demo = Demo(folder, stack.enter_context(FakeAWS(folder / "aws.log")), airflow)
        steps.set_up(demo)
        steps.start_programs(demo, stack)
        for step in steps.IN_ORDER:
            step(demo)
        summary(demo)
        if args.ui:
            show_ui(demo)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that no process outlives the demo
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
