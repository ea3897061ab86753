"""A run keeps the version that it began with: tasks, retries and callbacks, whatever is published or rolled back meanwhile."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Self

import pytest

from scripts.local.s3_servers import S3Server
from scripts.local.waiting import wait_for
from tests.bundles.world import World, database

pytestmark = pytest.mark.airflow
WHOLE, PART = (10, 10), (3, 4)  # runs, and tasks of each

DAG = """
import json
from datetime import timedelta
from pathlib import Path
from airflow.sdk import DAG, task
from sales.dags.helpers.text import HELPER

TEXT = "{text}"

def note(what, context):
    data = (Path(__file__).parent / "data" / "text.txt").read_text()
    ti = context.get("ti") or context.get("task_instance")
    line = dict(what=what, run=context["run_id"], task=getattr(ti, "task_id", ""), texts=[TEXT, HELPER, data])
    with open("{seen}", "a") as out:
        out.write(json.dumps(line) + "\\n")

with DAG("sales_report", description=TEXT, tags=["t"], default_args=dict(owner="t", retries=2, retry_delay=timedelta(seconds=1)),
         max_active_runs=4, on_success_callback=lambda context: note("callback", context)):
    before = None
    for number in range({tasks}):
        @task(task_id=f"t{{number}}")
        def look(number, **context):
            note("task", context)
            if number % 3 == 1 and context["ti"].try_number == 1:
                raise ValueError("once more")
        now = look(number)
        if before is not None:
            before >> now
        before = now
"""


def package(text: str, seen: Path, tasks: int) -> dict[str, bytes]:
    """Three files of one version, each with the same text."""
    return {
        "report.py": DAG.format(text=text, seen=seen, tasks=tasks).encode(),
        "helpers/text.py": f"HELPER = {text!r}\n".encode(),
        "data/text.txt": text.encode(),
    }


class Publisher:
    """Makes another version live each second, every fifth by a roll-back."""

    def __init__(self, world: World, tasks: int, seen: Path) -> None:
        self.world, self.tasks, self.seen = world, tasks, seen
        self.texts: dict[str, str] = {}  # by version
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)
        self.publish(0)

    def publish(self, number: int) -> None:
        """A version with a text of its own."""
        self.texts[self.world.publish("sales", package(f"v{number}", self.seen, self.tasks))] = f"v{number}"

    def _go_on(self) -> None:
        number = 0
        while not self._over.wait(1):
            number += 1
            if number % 5:
                self.publish(number)
            else:
                before = list(self.texts.values())[-2]
                self.texts[self.world.roll_back("sales")] = before

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.parametrize(
    "size", [PART, pytest.param(WHOLE, marks=pytest.mark.exhaustive("bundles"))], ids=["part", "whole"]
)
def test_runs_keep_their_version_while_others_go_live_each_second(
    airflow_program: Path, moto: S3Server, tmp_path: Path, size: tuple[int, int]
) -> None:
    runs, tasks = [f"run{number}" for number in range(size[0])], size[1]
    seen = tmp_path / "seen"
    with database() as url:
        world = World(tmp_path, moto, ["sales"], url, program=airflow_program)
        publisher = Publisher(world, tasks, seen)
        of_runs: dict[str, str] = {}

        def has_another_version() -> bool:
            return world.version_of("sales_report") not in of_runs.values()

        with world.running():
            world.shows("sales_report", "v0")
            with publisher:
                for run in runs:
                    wait_for(has_another_version, what="another version", every=0.1)
                    world.whole.trigger("sales_report", run)
                    of_runs[run] = world.whole.run("sales_report", run)["bundle_version"]
                ends = {run: world.whole.end("sales_report", run, 600) for run in runs}
                wait_for(
                    lambda: seen.read_text().count('"callback"') == len(runs), what="a callback of each run", every=0.1
                )
    assert set(ends.values()) == {"success"}, ends
    lines = [json.loads(line) for line in seen.read_text().splitlines()]
    wrong = [line for line in lines if set(line["texts"]) != {publisher.texts[of_runs[line["run"]]]}]
    assert not wrong, "tasks or callbacks of another version than their run's, or of two"
    assert {line["run"] for line in lines if line["what"] == "callback"} == set(runs)
    assert len({(line["run"], line["task"]) for line in lines if line["what"] == "task"}) == len(runs) * tasks
    assert len(set(of_runs.values())) == len(runs), "each run began with a version of its own"
