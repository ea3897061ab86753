"""A copy of what manage.sh needs, and stand-ins for the cluster's tools that write down how they are called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scripts.pinned import ROOT, helm
from tests.helpers import helm_cache

KUBECTL = """#!/usr/bin/env bash
echo "kubectl $*" >>"$CALLS"
for word; do case $word in --from-file=*) key=${word#--from-file=}; echo "  ${key%%=*}=$(cat "${key#*=}")" >>"$CALLS" ;; esac; done
[[ $* != version* && $* != *" version"* || ${CLUSTER-} != gone ]] || exit 1
case $* in
  *"get namespace "*) [[ ${NAMESPACE-} != gone ]] ;;
  "config current-context") echo test-cluster ;;
  *"get secret "*)
    while [[ $1 != secret ]]; do shift; done
    if [[ " ${SECRETS-} " != *" $2 "* ]]; then [[ $* == *--ignore-not-found* ]]
    else echo "there ${KEYS-fernet-key api-secret-key jwt-secret username password connection basicAuth postgres-password kedaConnection pgbouncer-stats users.txt pgbouncer.ini}"; fi ;;
  *"get configmap "*) [[ -z ${NETWORK_CHANGES-} ]] || grep -c upgrade "$CALLS" || true ;;
  *"--filename -"*) cat >>"$CALLS" ;;
  *diff*) exit "${DIFF:-0}" ;;
esac
"""
HELM = """#!/usr/bin/env bash
while [[ $1 == --kube-context ]]; do context="$1 $2 "; shift 2; done
[[ $1 != template ]] || exec "$PYTHON" -I -S "$HELM_CACHE" "$REAL_HELM" "$@"
echo "helm ${context-}$*" >>"$CALLS"
[[ $1 != list || -z ${HISTORY-} ]] || echo release
[[ "$1 $2" != "get values" ]] || echo '{"environment": "'"${DEPLOYED-}"'"}'
[[ $1 != history ]] || echo "${HISTORY}"
[[ -z ${FAILS-} || $* != *"$FAILS"* ]] || { echo "Error: $FAILS: timed out waiting" >&2; exit 1; }
"""


@dataclass
class Operator:
    """Somebody with a checkout and a cluster."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def __call__(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run manage.sh."""
        return subprocess.run(
            [self.folder / "scripts/manage.sh", *words], env={**os.environ, **self.env, **env}, cwd=self.folder,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip

    @property
    def calls(self) -> list[str]:
        """What the tools were called with, and the secrets that they were given."""
        file = Path(self.env["CALLS"])
        return file.read_text().splitlines() if file.exists() else []

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a file of the checkout."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new, 1))


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    tools, checkout = tmp_path / "bin", tmp_path / "checkout"
    tools.mkdir()
    for name, text in (("kubectl", KUBECTL), ("helm", HELM)):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    for part in ("scripts", "values", "charts", "terraform/environments", "docs/reference"):
        shutil.copytree(ROOT / part, checkout / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "versions.yaml", checkout)
    shutil.copy(ROOT / "scripts/local/outputs.json", checkout / "outputs.json")
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "CALLS": str(tmp_path / "calls"), "REAL_HELM": helm() or "helm",
           "PYTHON": sys.executable, "HELM_CACHE": helm_cache.__file__}  # fmt: skip
    return Operator(checkout, env)
