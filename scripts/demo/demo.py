"""What the steps share: the folder, the AWS, Airflow, the roles, and what was seen so far."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

import httpx
from rich.console import Console

from scripts.local.airflow import Airflow, Dag
from scripts.local.fake_aws import Credentials, FakeAWS
from scripts.local.waiting import wait_for

BIN = Path(sys.executable).parent
ENVIRONMENT = "demo"

console = Console(highlight=False, soft_wrap=True)


class NotSeen(Exception):
    """A step did not show what it should; the text says what was there instead."""


@dataclass
class Demo:
    """What the steps share."""

    folder: Path
    aws: FakeAWS
    airflow: Airflow
    outputs: dict[str, object] = field(default_factory=dict)
    roles: dict[str, Credentials] = field(default_factory=dict)
    rows: list[tuple[str, str, float]] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Time a step; what is put into the list is told as what was seen."""
        started = time.monotonic()
        seen: list[str] = []
        try:
            yield seen
        except (NotSeen, TimeoutError, subprocess.SubprocessError, RuntimeError, OSError) as error:
            console.print(f"  [red]✗[/] {name}: {error}")
            raise SystemExit(1) from error
        seconds = time.monotonic() - started
        self.rows.append((name, "; ".join(seen), seconds))
        console.print(f"  [green]✓[/] {seconds:5.1f} s  {name}: {'; '.join(seen)}")

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        return str(self.outputs["bucket"])

    def tool(self, command: list[str], who: str, expect: int = 0) -> str:
        """Run a command as a role (`who` is a package, dag_sync, dag_adopter or administrator). Raises NotSeen."""
        credentials = self.aws.admin if who == "administrator" else self.roles[who]
        env = {**os.environ, **credentials, "AIRFLOW_PLATFORM_BUCKET": self.bucket, "AIRFLOW_PLATFORM_ENV": ENVIRONMENT}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
        text = done.stdout + done.stderr
        if done.returncode != expect:
            raise NotSeen(f"{Path(command[0]).name} ended with {done.returncode}, not {expect}: {text.strip()[-800:]}")
        return text if expect else done.stdout

    def publisher(self, *args: str, package: str, expect: int = 0) -> str:
        """Run airflow-dag-publisher as the package's own role."""
        return self.tool([str(BIN / "airflow-dag-publisher"), *args, "--package-name", package], package, expect)

    def s3api(self, *args: str, who: str, expect: int = 0) -> str:
        """Run a plain `aws s3api` command."""
        return self.tool([str(BIN / "aws"), "s3api", *args, "--bucket", self.bucket], who, expect)

    def visible(self, seen: Callable[[dict[str, Dag]], bool], what: str) -> str:
        """Wait until Airflow's database shows something; remember how long it took since now."""
        seconds = self.airflow.wait(seen, what)
        self.latencies.append(seconds)
        return f"{what} in Airflow {seconds:.1f} s after the pointer"


def wait_for_answer(url: str, what: str, seconds: float = 60) -> None:
    """Wait until a server says 200. Raises TimeoutError that says `what`."""

    def answers() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(url).status_code == 200
        return False

    wait_for(answers, seconds, what, every=0.1)


def percentile(values: list[float], percent: int) -> float:
    """A percentile, by linear interpolation."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]
