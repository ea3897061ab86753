"""An environment on a cluster, as an operator has it there: deployed by manage.sh, taken back and away by the lines of docs/how-to."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.local.cluster.cluster import DATABASE, Cluster
from scripts.local.outputs import OUTPUTS
from scripts.manage.layers.environments import NAMESPACE, environment
from scripts.pinned import ROOT, helm

HOW_TO = ROOT / "docs" / "how-to"


@dataclass(frozen=True)
class Deployment:
    """An environment on a cluster.

    Args:
        env: its name.
        folder: for its outputs file.
    """

    cluster: Cluster
    env: str
    folder: Path

    @property
    def outputs(self) -> tuple[str | Path, ...]:
        """The words that name the file of `manage.sh output`; the test's file is of dev."""
        if environment(self.env).of("platform") != "cloud":
            return ()
        file = self.folder / f"outputs-{self.env}.json"
        file.write_text(OUTPUTS.read_text().replace("dev", self.env))
        return "--outputs", file

    def render(self) -> str:
        """What deploy installs."""
        return self.cluster.manage("render", self.env, *self.outputs).stdout

    def deploy(self, *helm: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Once or again; `helm`: words for it. Raises Failed."""
        words = ["deploy", self.env, "--yes", *self.outputs, *(["--", *helm] if helm else [])]
        return self.cluster.manage(*words, check=check, AIRFLOW_DATABASE_URL=DATABASE)

    def by(self, checkout: Path) -> Deployment:
        """The same environment, by another checkout."""
        return replace(self, cluster=self.cluster.of(checkout))

    def go_back(self, revision: str) -> None:
        """To a revision of both releases."""
        self.cluster.run("bash", "-c", how_to("deploy.md", "kubectl delete jobs"))
        for release in ("airflow", "airflow-platform"):
            self.cluster.helm("rollback", release, revision, "--namespace", NAMESPACE)
        self.cluster.wait("every pod to be of that revision", self.cluster.settled)

    def uninstall(self) -> None:
        """Both releases."""
        self.cluster.run("bash", "-c", how_to("deploy.md", "helm uninstall"))


def how_to(document: str, containing: str) -> str:
    """The shell block of a guide that has this text; the built Helm has its version in its name."""
    [block] = [
        block
        for block in re.findall(r"^ *```sh\n(.*?)^ *```", (HOW_TO / document).read_text(), re.DOTALL | re.MULTILINE)
        if containing in block
    ]
    return f'set -euo pipefail\nhelm() {{ {helm()} "$@"; }}\n{block}'
