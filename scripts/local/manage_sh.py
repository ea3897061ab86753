"""scripts/manage.sh, run as a person would."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.local.plans import Plan, Refusal
from scripts.pinned import ROOT

MANAGE = ROOT / "scripts" / "manage.sh"


@dataclass(frozen=True)
class Manage:
    """manage.sh with an environment of its own and without a terminal."""

    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = ROOT
    script: Path = MANAGE

    def __call__(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run it and hand back whatever came of it."""
        return subprocess.run(
            [self.script, *args],
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

    def plan(self, environment: str, /, **variables: Any) -> Plan:
        """Plan an environment, with some variables set otherwise than in its tfvars file."""
        state = Path(self.env["AIRFLOW_PLATFORM_STATE_DIR"]) / environment
        self.ok("plan", environment, "--", f"-out={state}/plan", *var_arguments(variables))
        shown = subprocess.run(
            ["terraform", f"-chdir={state}/root", "show", "-json", f"{state}/plan"],
            env={**os.environ, "TF_DATA_DIR": f"{state}/data"},
            capture_output=True,
            text=True,
            check=True,
        )
        return Plan.of(json.loads(shown.stdout))

    def refusals(self, environment: str, /, **variables: Any) -> list[Refusal]:
        """Plan with variables that must be refused, and return what is said."""
        done = self("plan", environment, "--", "-json", *var_arguments(variables))
        assert done.returncode == 1, f"not refused:\n{done.stdout}\n{done.stderr}"
        return Refusal.all(done.stdout, "account" if environment == "account" else "environment")


def var_arguments(variables: Mapping[str, Any]) -> list[str]:
    """Terraform's -var arguments; JSON is HCL enough."""
    return [f"-var={name}={v if isinstance(v, str) else json.dumps(v)}" for name, v in variables.items()]
