"""Run scripts/manage.sh as a person would, and read what Terraform would do."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from unittest import mock

import tftest

from scripts.pinned import ROOT

MANAGE = ROOT / "scripts" / "manage.sh"
TERRAFORM = ROOT / "terraform"
PROVIDER = 'provider "aws" {\n  region = "eu-central-1"\n}\n\n'  # what each module's example begins with


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

    def plan(self, environment: str, /, **variables: Any) -> "Plan":
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

    def refusals(self, environment: str, /, **variables: Any) -> list["Refusal"]:
        """Plan with variables that must be refused, and return what is said."""
        done = self("plan", environment, "--", "-json", *var_arguments(variables))
        assert done.returncode == 1, f"not refused:\n{done.stdout}\n{done.stderr}"
        return Refusal.all(done.stdout, "account" if environment == "account" else "environment")


class Modules:
    """A copy of terraform/modules, and beside it roots that call them: what Terraform downloads is not in the checkout."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._env = dict(env)
        shutil.copytree(TERRAFORM / "modules", folder / "modules", ignore=shutil.ignore_patterns(".terraform"))
        # With a provider of its own, each example would be a process of its own in a root that calls them all.
        for example in folder.glob("modules/*/example/main.tf"):
            example.write_text(example.read_text().removeprefix(PROVIDER))

    def root(self, name: str, **blocks: Any) -> tftest.TerraformTest:
        """A root made of these blocks, ready to be planned. Modules are in ../modules."""
        root = self._folder / name
        root.mkdir()
        blocks = {"provider": {"aws": {"region": "eu-central-1"}}, **blocks}
        (root / "main.tf.json").write_text(json.dumps(blocks, indent=2))
        test = tftest.TerraformTest(str(root), env=self._env)
        test.setup(plugin_dir=plugin_dir())
        return test

    def plan(self, name: str, **blocks: Any) -> "Plan":
        """What a root made of these blocks would build."""
        test = self.root(name, **blocks)
        with mock.patch.object(tempfile, "tempdir", test.tfdir):  # tftest leaves its plan file behind
            return Plan.of(test.plan(output=True))

    def refusals(self, name: str, **blocks: Any) -> list["Refusal"]:
        """What is said to a root made of these blocks, which must be refused."""
        try:
            self.root(name, **blocks).plan(json_format=True)
        except tftest.TerraformTestError as refused:
            return Refusal.all(refused.args[0], name)
        raise AssertionError(f"{name} was not refused")


@dataclass(frozen=True)
class Plan:
    """The resources that a plan leaves behind, by address, and its outputs."""

    resources: dict[str, dict[str, Any]]
    outputs: dict[str, Any]

    @classmethod
    def of(cls, plan: Mapping[str, Any]) -> Self:
        """Read `terraform show -json`, or tftest's wrapper of it."""
        changes = [c for c in plan["resource_changes"] if c["mode"] == "managed" and c["change"]["after"]]
        outputs = plan["planned_values"].get("outputs", {})
        return cls(
            {c["address"]: c["change"]["after"] for c in changes},
            {name: output.get("value") for name, output in outputs.items()},
        )

    def __getitem__(self, address: str) -> dict[str, Any]:
        return self.resources[address]

    def statements(self, address: str, attribute: str = "policy") -> list[dict[str, Any]]:
        """The statements of a policy."""
        return statements(self[address][attribute])


@dataclass(frozen=True, order=True)
class Refusal:
    """What Terraform says to a wrong value, and the file below terraform/ and its line that the rule is at."""

    sentence: str
    file: str
    line: int

    @classmethod
    def all(cls, said: str, root: str) -> list[Self]:
        """The errors in the output of `plan -json`, in order."""
        messages = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        return sorted(cls._of(m["diagnostic"], root) for m in messages if m["@level"] == "error")

    @classmethod
    def _of(cls, diagnostic: dict[str, Any], root: str) -> Self:
        at = diagnostic.get("range", {"filename": "", "start": {"line": 0}})
        # A variable's error is at the value; where the rule is, is in the text.
        sentence, *more = diagnostic["detail"].split("\n\nThis was checked by the validation rule at ")
        file, line = more[0].split(",")[0].split(":") if more else (at["filename"], at["start"]["line"])
        module = re.search(r"modules/[\w-]+/[\w-]+\.tf$", file)
        return cls(sentence, module[0] if module else f"{root}/{file}", int(line))


def var_arguments(variables: Mapping[str, Any]) -> list[str]:
    """Terraform's -var arguments; JSON is HCL enough."""
    return [f"-var={name}={v if isinstance(v, str) else json.dumps(v)}" for name, v in variables.items()]


def statements(policy: str) -> list[dict[str, Any]]:
    """The statements of a policy document."""
    found: list[dict[str, Any]] = json.loads(policy)["Statement"]
    return found


def plugin_dir() -> str | None:
    """Where manage.sh finds the provider on this machine. None: where Terraform looks itself."""
    script = f'source "{MANAGE.parent}/manage/terraform.sh"; root="$1"; forget_missing_cli_config; mirror'
    command = ["bash", "-euo", "pipefail", "-c", script, "mirror", str(TERRAFORM / "environment")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return said.removeprefix("-plugin-dir=") or None
