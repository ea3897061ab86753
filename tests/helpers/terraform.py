"""Run scripts/manage.sh as a person would, and read what Terraform would do."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MANAGE = ROOT / "scripts" / "manage.sh"

needs_terraform = [
    pytest.mark.terraform,
    pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not on PATH"),
]


@dataclass(frozen=True)
class Manage:
    """manage.sh with an environment of its own and without a terminal."""

    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = ROOT

    def __call__(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run it and hand back whatever came of it."""
        return subprocess.run(
            [MANAGE, *args],
            env={**os.environ, **self.env},
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def ok(self, *args: str) -> str:
        """Run it, fail with all it said unless it succeeds, and return its standard output."""
        done = self(*args)
        assert done.returncode == 0, f"manage.sh {' '.join(args)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def plan(self, environment: str, /, **variables: Any) -> "Plan":
        """Plan an environment, with some variables set otherwise than in its tfvars file."""
        state = Path(self.env["AIRFLOW_PLATFORM_STATE_DIR"]) / environment
        self.ok("plan", environment, "--", f"-out={state}/plan", *var_arguments(variables))
        shown = subprocess.run(
            ["terraform", f"-chdir={ROOT}/terraform/environment", "show", "-json", f"{state}/plan"],
            env={**os.environ, "TF_DATA_DIR": f"{state}/data", "TF_CLI_CONFIG_FILE": os.devnull},
            capture_output=True,
            text=True,
            check=True,
        )
        changes = json.loads(shown.stdout)["resource_changes"]
        return Plan({c["address"]: c["change"]["after"] for c in changes if c["change"]["actions"] == ["create"]})

    def refusals(self, environment: str, /, **variables: Any) -> list[str]:
        """Plan with variables that must be refused, and return the sentences."""
        done = self("plan", environment, "--", "-json", *var_arguments(variables))
        assert done.returncode == 1, f"not refused:\n{done.stdout}\n{done.stderr}"
        messages = [json.loads(line) for line in done.stdout.splitlines()]
        return [m["diagnostic"]["detail"] for m in messages if m["@level"] == "error"]


@dataclass(frozen=True)
class Plan:
    """The resources that a plan creates, by address."""

    resources: dict[str, dict[str, Any]]

    def __getitem__(self, address: str) -> dict[str, Any]:
        return self.resources[address]

    def statements(self, address: str, attribute: str = "policy") -> list[dict[str, Any]]:
        """The statements of a policy."""
        policy = json.loads(self[address][attribute])
        statements: list[dict[str, Any]] = policy["Statement"]
        return statements


def var_arguments(variables: Mapping[str, Any]) -> list[str]:
    """Terraform's -var arguments; JSON is HCL enough."""
    return [f"-var={name}={v if isinstance(v, str) else json.dumps(v)}" for name, v in variables.items()]
