"""Copies of our Terraform modules in roots that call them, to plan what no environment has."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import tftest

from scripts.local.manage_sh import MANAGE
from scripts.local.plans import Plan, Refusal
from scripts.pinned import ROOT

TERRAFORM = ROOT / "terraform"
PROVIDER = 'provider "aws" {\n  region = "eu-central-1"\n}\n\n'  # what each module's example begins with


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

    def plan(self, name: str, **blocks: Any) -> Plan:
        """What a root made of these blocks would build."""
        test = self.root(name, **blocks)
        with mock.patch.object(tempfile, "tempdir", test.tfdir):  # tftest leaves its plan file behind
            return Plan.of(test.plan(output=True))

    def refusals(self, name: str, **blocks: Any) -> list[Refusal]:
        """What is said to a root made of these blocks, which must be refused."""
        try:
            self.root(name, **blocks).plan(json_format=True)
        except tftest.TerraformTestError as refused:
            return Refusal.all(refused.args[0], name)
        raise AssertionError(f"{name} was not refused")


def plugin_dir() -> str | None:
    """Where manage.sh finds the provider on this machine. None: where Terraform looks itself."""
    script = f'source "{MANAGE.parent}/manage/terraform.sh"; root="$1"; forget_missing_cli_config; mirror'
    command = ["bash", "-euo", "pipefail", "-c", script, "mirror", str(TERRAFORM / "environment")]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return said.removeprefix("-plugin-dir=") or None
