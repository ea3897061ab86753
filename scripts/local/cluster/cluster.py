"""A cluster as programs use it: kubectl, helm and manage.sh against it, its objects, and waiting for what they come to be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from scripts.local.cluster.control_plane import programs
from scripts.manage.layers.environments import NAMESPACE
from scripts.pinned import ROOT, helm

JOBS = "etl-jobs"
DATABASE = "postgresql://airflow:secret@db.example.org:5432/airflow"  # nobody connects to it
READY = "export KUBECONFIG="  # how the line begins that says it is up
EVERYWHERE = "*"  # in place of a namespace
ELSEWHERE = (
    "AWS_",
    "AIRFLOW_",
    "HELM_KUBE",
    "HELM_NAMESPACE",
    "HELM_DRIVER",
)  # what would lead a tool to another place
Objects = list[dict[str, Any]]


class Failed(AssertionError):
    """A command failed; the text is the command and what it said."""


@dataclass(frozen=True)
class Cluster:
    """A cluster.

    Args:
        kubeconfig: of an administrator.
        fake: with nodes of ours, that can be switched off.
    """

    kubeconfig: Path
    fake: bool = True
    checkout: Path = field(default=ROOT)

    @property
    def env(self) -> dict[str, str]:
        """For every tool."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ELSEWHERE)}
        built = [str(programs())] if self.fake else []
        found = [str(Path(helm() or "helm").parent)]
        path = os.pathsep.join([*built, *found, os.environ["PATH"]])
        return {**inherited, "KUBECONFIG": str(self.kubeconfig), "PATH": path}

    def run(
        self, *words: str | Path, check: bool = True, stdin: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """A command. Raises Failed when `check` and it failed."""
        command = [str(word) for word in words]
        process = subprocess.Popen(
            command, env={**self.env, **env}, cwd=self.checkout, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            stdout, stderr = process.communicate(stdin, timeout=600)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # what manage.sh started would go on alone
            process.wait()
            raise
        done = subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
        if check and done.returncode:
            raise Failed(
                f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-5000:]}"
            )
        return done

    def kubectl(self, *words: str | Path, stdin: str = "") -> str:
        """kubectl's output. Raises Failed."""
        return self.run("kubectl", *words, stdin=stdin).stdout

    def helm(self, *words: str | Path) -> str:
        """Helm's output. Raises Failed."""
        return self.run(helm() or "helm", *words).stdout

    def manage(self, *words: str | Path, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """`scripts/manage.sh`. Raises Failed."""
        return self.run(self.checkout / "scripts" / "manage.sh", *words, check=check, **env)

    def of(self, checkout: Path) -> Cluster:
        """The same, by another checkout's manage.sh."""
        return replace(self, checkout=checkout)

    def objects(self, kinds: str, namespace: str = NAMESPACE, *words: str) -> Objects:
        """As JSON; `kinds` as kubectl takes them."""
        where = ["--all-namespaces"] if namespace == EVERYWHERE else ["--namespace", namespace]
        items: Objects = json.loads(self.kubectl("get", kinds, *where, "--output", "json", *words))["items"]
        return items

    def multi_attach(self, namespace: str = NAMESPACE, since: datetime | None = None) -> dict[str, str]:
        """What the attach-detach controller says about one volume and several nodes, by pod."""
        events = self.objects("events", namespace, "--field-selector=reason=FailedAttachVolume")
        return {
            event["involvedObject"]["name"]: event["message"]
            for event in events
            if "Multi-Attach" in event["message"]
            and (since is None or datetime.fromisoformat(event["lastTimestamp"]) > since)
        }

    def settled(self, namespace: str = NAMESPACE) -> bool:
        """Whether every Deployment and StatefulSet has all its pods, new and ready."""
        workloads = self.objects("deployments,statefulsets", namespace)
        return bool(workloads) and all(map(_settled, workloads))

    def is_ready(self, node: str) -> bool:
        """Whether a node is alive, as far as the control plane knows."""
        [found] = self.objects("nodes", NAMESPACE, f"--field-selector=metadata.name={node}")
        return any(one["type"] == "Ready" and one["status"] == "True" for one in found["status"]["conditions"])

    def power(self, node: str, on: bool) -> None:
        """Switch a node on or off."""
        self.kubectl("label", "node", node, f"power={'on' if on else 'off'}", "--overwrite")

    def wait(self, says: str, condition: Callable[[], Any], seconds: float = 180) -> Any:
        """Until the condition is true; what it gave. Raises Failed with `says` and how the pods stand."""
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > deadline:
                raise Failed(
                    f"not within {seconds:g} s: {says}\n{self.kubectl('get', 'pods,events', '--all-namespaces')}"
                )
            time.sleep(0.5)  # each look is a kubectl, a tenth of a second of a core
        return value


def _settled(workload: dict[str, Any]) -> bool:
    status, wanted = workload["status"], workload["spec"]["replicas"]
    counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")]
    return status.get("observedGeneration") == workload["metadata"]["generation"] and counts == [wanted] * 3
