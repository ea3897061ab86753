"""The steps, each of which says what was seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from scripts.demo.demo import ENVIRONMENT, Demo, NotSeen, percentile, wait_for_answer
from scripts.local.airflow import Dag, stop
from scripts.local.ports import free_port
from scripts.pinned import ROOT

FILES = ROOT / "charts" / "airflow-platform" / "files"
MORE_PUBLISHES = 10  # on top of the steps, for the percentiles
OLD, NEW = "Orders by region of the day before", "Orders by region, now with returns"
BY_HAND = "Orders by region, edited by hand"


def set_up(demo: Demo) -> None:
    """Terraform on the fake AWS, and Airflow's database, side by side: they do not need each other."""
    with demo.step("infrastructure") as seen, ThreadPoolExecutor(1) as pool:
        database = pool.submit(demo.airflow.migrate)
        manage = str(ROOT / "scripts" / "manage.sh")
        env = {**os.environ, **demo.aws.admin, "AIRFLOW_PLATFORM_STATE_DIR": str(demo.folder / "terraform")}
        for command in (["apply", "--yes"], ["output"]):
            done = subprocess.run(
                [manage, command[0], ENVIRONMENT, *command[1:]],
                env=env,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            if done.returncode:
                raise NotSeen(f"manage.sh {command[0]}: {done.stderr.strip()[-1500:]}")
        demo.outputs = json.loads(done.stdout)
        roles = demo.outputs["roles"]
        assert isinstance(roles, dict)
        arns = {**roles["publishers"], "dag_sync": roles["dag_processor"], "dag_adopter": roles["dag_adopter"]}
        demo.roles = {name: demo.aws.assume(arn) for name, arn in arns.items()}
        database.result()
        seen.append(f"Terraform made bucket {demo.bucket} and {len(arns)} roles; Airflow's database is migrated")


def start_programs(demo: Demo, stack: ExitStack) -> None:
    """dag-sync, dag-adopter and the dag-processor; each with its own role, or none."""
    with demo.step("programs") as seen:
        sync = [str(FILES / "dag_sync.py"), "--root", str(demo.folder / "dag-store"), "--link", str(demo.airflow.dags),
                "--http-bind", f"127.0.0.1:{free_port()}"]  # fmt: skip
        start(demo, stack, "dag_sync", sync)
        start(demo, stack, "dag_adopter", [str(FILES / "dag_adopter.py"), "--period", "2"])
        stack.enter_context(demo.airflow.running("dag-processor"))
        wait_for_answer(f"http://{sync[-1]}/readyz", "dag-sync is ready")
        seen.append("dag-sync is ready, dag-adopter and Airflow's dag-processor run")


def start(demo: Demo, stack: ExitStack, who: str, command: list[str]) -> None:
    """Start one of our programs as its role, with nothing of this shell's but PATH and HOME."""
    env = {"PATH": os.environ["PATH"], "HOME": str(demo.folder), **demo.roles[who],
           "DAG_SYNC_BUCKET": demo.bucket, "DAG_SYNC_ENVIRONMENT": ENVIRONMENT}  # fmt: skip
    with (demo.folder / f"{who}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command], env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    stack.callback(stop, process)


def publish_two(demo: Demo) -> None:
    """Two packages, each with its own role."""
    for package, dag in (("sales", "sales_daily_report"), ("finance", "finance_month_end")):
        with demo.step(f"publish {package}") as seen:
            text = demo.publisher("publish", "--dags-dir", str(demo.folder / "src" / package / "dags"), package=package)
            seen.append(last_line(text))
            seen.append(demo.visible(shows("", dag), f"{dag} is"))


def change(demo: Demo) -> None:
    """A changed file goes live."""
    with demo.step("publish a change") as seen:
        edit(demo, OLD, NEW)
        seen.append(last_line(publish_sales(demo)))
        seen.append(demo.visible(shows(NEW), "the new description is"))


def malformed(demo: Demo) -> None:
    """A broken file is refused, and nothing changes."""
    with demo.step("publish a malformed DAG") as seen:
        before = demo.publisher("versions", "--output", "json", package="sales")
        bad = demo.folder / "src" / "sales" / "dags" / "broken.py"
        bad.write_text(
            "from airflow.sdk import DAG\n\nwith DAG('sales_broken', schedule_interval='@daily') as dag\n    pass\n"
        )
        text = publish_sales(demo, "--no-parse", expect=1)
        bad.unlink()
        if demo.publisher("versions", "--output", "json", package="sales") != before:
            raise NotSeen("a version was made of it")
        seen.append(f"refused with exit code 1: {next(line for line in text.splitlines() if 'broken.py:' in line)}")


def rollback(demo: Demo) -> None:
    """One command back."""
    with demo.step("roll back") as seen:
        seen.append(last_line(demo.publisher("rollback", package="sales")))
        seen.append(demo.visible(shows(OLD), "the old description is"))


def by_hand(demo: Demo) -> None:
    """The operations guide's plain commands: put an object; copy an old version over it."""
    key = f"{ENVIRONMENT}/sales/dags/daily_report.py"
    with demo.step("edit by hand") as seen:
        edited = demo.folder / "edited.py"
        edited.write_text((demo.folder / "src/sales/dags/daily_report.py").read_text().replace(NEW, BY_HAND))
        demo.s3api("put-object", "--key", key, "--body", str(edited), who="administrator")
        seconds = demo.airflow.wait(shows(BY_HAND), "the edit")
        seen.append(f"aws s3api put-object: made a version by dag-adopter, in Airflow after {seconds:.1f} s")
    with demo.step("restore by hand") as seen:
        text = demo.s3api("list-object-versions", "--prefix", key, who="administrator")
        versions = sorted(json.loads(text)["Versions"], key=lambda v: v["LastModified"])
        source = f"{demo.bucket}/{key}?versionId={versions[0]['VersionId']}"
        demo.s3api("copy-object", "--copy-source", source, "--key", key, who="administrator")
        seconds = demo.airflow.wait(shows(OLD), "the old version")
        seen.append(f"aws s3api copy-object of an old version: in Airflow after {seconds:.1f} s")


def foreign_prefix(demo: Demo) -> None:
    """A role of one package may not write another's files, manifests or pointer."""
    with demo.step("write into another package") as seen:
        keys = [
            f"{ENVIRONMENT}/sales/dags/x.py",
            f"manifests/{ENVIRONMENT}/sales/x.json",
            f"pointers/{ENVIRONMENT}/sales.json",
        ]
        for key in keys:
            text = demo.s3api(
                "put-object", "--key", key, "--body", str(ROOT / "versions.yaml"), who="finance", expect=255
            )
            if "AccessDenied" not in text:
                raise NotSeen(f"{key}: {text.strip()}")
        demo.s3api(
            "put-object",
            "--key",
            f"{ENVIRONMENT}/finance/dags/notes.txt",
            "--body",
            str(ROOT / "versions.yaml"),
            who="finance",
        )
        seen.append(f"finance's role: AccessDenied at all {len(keys)} places of sales; its own prefix works")


def again_and_again(demo: Demo) -> None:
    """More publishes, each at another moment of the poll, for the percentiles."""
    with demo.step(f"{MORE_PUBLISHES} more publishes") as seen:
        text = OLD
        for number in range(MORE_PUBLISHES):
            edit(demo, text if number else NEW, f"Orders by region, round {number}")
            text = f"Orders by region, round {number}"
            publish_sales(demo, "--no-parse")
            demo.visible(shows(text), text)
            time.sleep(0.13 * number)  # another phase, not a wait for anything
        seen.append(f"p50 {percentile(demo.latencies, 50):.1f} s, p95 {percentile(demo.latencies, 95):.1f} s")


IN_ORDER = (publish_two, change, malformed, rollback, by_hand, foreign_prefix, again_and_again)


# --- parts of them ------------------------------------------------------------------------------------------------


def publish_sales(demo: Demo, *options: str, expect: int = 0) -> str:
    """Publish the sales folder."""
    return demo.publisher(
        "publish", *options, "--dags-dir", str(demo.folder / "src" / "sales" / "dags"), package="sales", expect=expect
    )


def edit(demo: Demo, old: str, new: str) -> None:
    """Change the description of sales_daily_report in the author's folder."""
    file = demo.folder / "src" / "sales" / "dags" / "daily_report.py"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def shows(text: str, dag: str = "sales_daily_report") -> Callable[[dict[str, Dag]], bool]:
    """Whether a DAG has this description, in its row and serialized."""
    return lambda dags: dag in dags and dags[dag].shows(text)


def last_line(text: str) -> str:
    """What a command said last."""
    return text.strip().splitlines()[-1]
