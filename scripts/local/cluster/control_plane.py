"""etcd, API server, controller-manager, scheduler and kwok as processes on loopback, in one folder.

No container: the programs are built from scripts/local/cluster/go.mod (`make tools`). Each dies with the process that started it.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from scripts import pinned
from scripts.local.parent import die_with_parent
from scripts.local.ports import free_port

HERE = Path(__file__).parent
SERVICE_NETWORK = "10.96.0.0/16"
START = 180  # seconds for each part, on a busy machine; all of them take 3 to 5 on two idle cores

# A node is called dead after these, where Kubernetes itself waits 50 s and pods stay for another 300 s.
LEASE, GRACE, TOLERATED = 4, 6, 2  # seconds


class NotBuilt(RuntimeError):
    """The programs are not there; the text is the way out."""


def programs() -> Path:
    """Where `make tools` puts the programs. Raises NotBuilt."""
    folder = pinned.control_plane()
    missing = [name for name in pinned.CONTROL_PLANE if not (folder / name).exists()]
    if missing:
        raise NotBuilt(f"the control plane is not built: {', '.join(missing)} not in {folder} (make tools)")
    return folder


@dataclass
class ControlPlane:
    """The running processes.

    Args:
        folder: for data, keys, logs and `kubeconfig`.
    """

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def kubeconfig(self) -> Path:
        """Of an administrator."""
        return self.folder / "kubeconfig"

    def start(self) -> None:
        """Start all, and wait until they answer. Raises NotBuilt, RuntimeError (with the end of the log), TimeoutError."""
        self._programs = programs()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._make_keys()
        self._start_etcd()
        self._start_api_server()
        for name, arguments in self._clients().items():
            self._run(name, *arguments)

    def stop(self) -> None:
        """End all, the newest first."""
        for process in reversed(self.processes.values()):
            process.kill()
            process.wait()
        self.processes.clear()

    def check(self) -> None:
        """Raises RuntimeError when one has ended by itself."""
        for name, process in self.processes.items():
            if process.poll() is not None:
                end = (self.folder / f"{name}.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{name} ended with {process.returncode}: {end}")

    def _make_keys(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        (self.folder / "service-account.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self._token = secrets.token_hex(16)
        (self.folder / "tokens.csv").write_text(f"{self._token},administrator,administrator,system:masters\n")
        (self.folder / "tokens.csv").chmod(0o600)

    def _start_etcd(self) -> None:
        clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self._etcd = clients
        self._run(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )
        self.wait(lambda: httpx.get(f"{clients}/health").json()["health"] == "true")

    def _start_api_server(self) -> None:
        port = free_port()
        self._run(
            "kube-apiserver",
            f"--etcd-servers={self._etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={self.folder}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--allow-privileged",  # as everywhere: what is refused is refused by Pod Security
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder / 'service-account.key'}",
            f"--service-account-signing-key-file={self.folder / 'service-account.key'}",
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            "--endpoint-reconciler-type=none",  # it refuses a loopback address as an endpoint
            f"--default-not-ready-toleration-seconds={TOLERATED}",
            f"--default-unreachable-toleration-seconds={TOLERATED}",
        )
        server, authority = f"https://127.0.0.1:{port}", self.folder / "apiserver.crt"
        self.wait(authority.exists)
        self._write_kubeconfig(server, authority)
        with httpx.Client(verify=str(authority), headers={"Authorization": f"Bearer {self._token}"}) as client:
            self.wait(lambda: client.get(f"{server}/readyz").text == "ok")

    def _write_kubeconfig(self, server: str, authority: Path) -> None:
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "pis", "cluster": {"server": server, "certificate-authority": str(authority)}}],
            "users": [{"name": "administrator", "user": {"token": self._token}}],
            "contexts": [{"name": "pis", "context": {"cluster": "pis", "user": "administrator"}}],
            "current-context": "pis",
        }
        self.kubeconfig.write_text(yaml.safe_dump(document))
        self.kubeconfig.chmod(0o600)

    def _clients(self) -> dict[str, tuple[str, ...]]:
        kubeconfig = f"--kubeconfig={self.kubeconfig}"
        return {
            "kube-controller-manager": (
                kubeconfig,
                "--secure-port=0",
                "--leader-elect=false",
                f"--service-account-private-key-file={self.folder / 'service-account.key'}",
                f"--root-ca-file={self.folder / 'apiserver.crt'}",
                "--node-monitor-period=1s",
                f"--node-monitor-grace-period={GRACE}s",
                "--node-eviction-rate=100",
                "--secondary-node-eviction-rate=100",
            ),
            "kube-scheduler": (kubeconfig, "--secure-port=0", "--leader-elect=false"),
            "kwok": (
                kubeconfig,
                f"--config={HERE / 'stages.yaml'}",
                "--manage-nodes-with-label-selector=power=on",
                f"--node-lease-duration-seconds={LEASE}",
                "--server-address=",
            ),
        }

    def _run(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [self._programs / name, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
                preexec_fn=die_with_parent,
            )

    def wait(self, ready: Callable[[], bool]) -> None:
        """Until it says so. Raises TimeoutError, and RuntimeError when a part ends."""
        deadline = time.monotonic() + START
        while time.monotonic() < deadline:
            self.check()
            try:
                if ready():
                    return
            except (httpx.HTTPError, OSError):
                pass
            time.sleep(0.05)
        raise TimeoutError(f"{list(self.processes)[-1]} did not answer in {START} s")
