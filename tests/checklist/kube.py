"""The cluster as the checks read it: `kubectl get --raw`, and nothing that writes.

Not pykube, which pytest-helm-charts offers beside kubectl: it knows neither the context, nor credential plugins of
client.authentication.k8s.io/v1.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from pytest_helm_charts.clusters import ExistingCluster

from scripts.local.parent import die_with_parent
from tests.checklist.verdict import Open, Wrong

Object = dict[str, Any]
TIMEOUT = 20  # seconds for an answer of the API server
logging.getLogger("pytest_helm_charts").addHandler(logging.NullHandler())  # what kubectl says is in its exceptions too


class Refused(Exception):
    """There is no cluster to check; the text is the way out."""

    def __init__(self, code: int, says: str) -> None:
        super().__init__(says)
        self.code = code


@dataclass(frozen=True)
class Kube:
    """A cluster of a kubeconfig.

    Args:
        cluster: pytest-helm-charts'.
        context: of its kubeconfig; empty: the current one.
    """

    cluster: ExistingCluster
    context: str

    def objects(self, plural: str, namespace: str, version: str = "v1", **labels: str) -> list[Object] | None:
        """All of a kind in a namespace; None when the cluster does not know the kind. Raises Open, Wrong."""
        base = f"/api/{version}" if version == "v1" else f"/apis/{version}"
        selector = urlencode({"labelSelector": ",".join(f"{key}={value}" for key, value in labels.items())})
        found = self._get(f"{base}/namespaces/{namespace}/{plural}?{selector}")
        return None if found is None else list(found["items"])

    def secret(self, name: str, namespace: str) -> dict[str, str] | None:
        """The contents of a secret; None when it is not there. Raises Open, Wrong."""
        found = self._get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        return found and {key: base64.b64decode(value).decode() for key, value in (found.get("data") or {}).items()}

    def forward(self, service: str, port: int, namespace: str) -> subprocess.Popen[str]:
        """`kubectl port-forward` from a free port; the caller reads which, and ends it."""
        words = ["port-forward", f"service/{service}", f":{port}", "--namespace", namespace, "--address", "127.0.0.1"]
        return subprocess.Popen(
            ["kubectl", *words, f"--context={self.context}", f"--kubeconfig={self.cluster.kube_config_path}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            preexec_fn=die_with_parent,
        )  # fmt: skip

    def _get(self, path: str) -> Object | None:
        try:
            text = kubectl(self.cluster, f"get --raw {path}", self.context)
        except subprocess.CalledProcessError as error:
            says = last_line(error)
            if "(NotFound)" in says:
                return None
            if "(Forbidden)" in says:
                raise Open(f"{short(says)}; docs/how-to/verify-a-cluster.md has the role that is needed") from None
            raise Wrong(f"the cluster did not answer: {short(says)}") from None
        answer: Object = json.loads(text)
        return answer


def kubectl(cluster: ExistingCluster, words: str, context: str = "") -> str:
    """Its output. Raises CalledProcessError."""
    text: str = cluster.kubectl(
        words, output_format="", context=context, **{"request-timeout": f"{TIMEOUT}s"}
    )  # kubectl's default is to wait for ever
    return text


def last_line(error: subprocess.CalledProcessError) -> str:
    """Of what it said; the lines before it are of the client's library."""
    lines: list[str] = error.stderr.strip().splitlines()
    return lines[-1] if lines else f"kubectl ended with {error.returncode}"


def short(says: str) -> str:
    """What kubectl said, without its prefixes."""
    return re.sub(r"^(error|Error from server( \(\w+\))?|Unable to connect to the server): ", "", says)


def connect(kubeconfig: str | None, context: str) -> str:
    """Make sure that there is a cluster. Returns the context that is used. Raises Refused."""
    if not kubeconfig:
        raise Refused(2, "no cluster is named: make verify-cluster KUBECONFIG=$HOME/.kube/config")
    if not Path(kubeconfig).is_file():
        raise Refused(
            2, f"KUBECONFIG {kubeconfig} is no file; of several make one: kubectl config view --flatten --raw"
        )
    if not shutil.which("kubectl"):
        raise Refused(2, "kubectl is not on the PATH: https://kubernetes.io/docs/tasks/tools")
    cluster = ExistingCluster(kubeconfig)
    context = _context(cluster, context)
    try:
        kubectl(cluster, "get --raw /version", context)
    except subprocess.CalledProcessError as error:
        raise Refused(3, f"the cluster of context {context} does not answer: {short(last_line(error))}") from None
    return context


def _context(cluster: ExistingCluster, wanted: str) -> str:
    try:
        known = kubectl(cluster, "config get-contexts --output=name").split()
        current = kubectl(cluster, "config view --output=jsonpath={.current-context}").strip()
    except subprocess.CalledProcessError as error:
        raise Refused(2, f"{cluster.kube_config_path} is no kubeconfig: {short(last_line(error))}") from None
    if (wanted or current) in known:
        return wanted or current
    has = f"it has {', '.join(known)}: ARGS=--context={known[0]}" if known else "it has none"
    missing = f"no context {wanted!r}" if wanted else "no current context"
    raise Refused(4, f"{cluster.kube_config_path} has {missing}; {has}")
