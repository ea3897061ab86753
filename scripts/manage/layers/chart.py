"""The official chart's archive: found, never committed, and refused when it is not the one that the values are for."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from scripts.pinned import CACHE, helm, versions

REPOSITORY = "https://airflow.apache.org"


class ChartError(RuntimeError):
    """The archive is missing or not the pinned one; the text says where and the way out."""


def cached(version: str) -> Path:
    """Where an archive is cached."""
    return CACHE / "charts" / f"airflow-{version}.tgz"


def archive() -> Path | None:
    """The pinned archive if it is on this machine: AIRFLOW_CHART_FILE, else the cache. Raises ChartError if it is another."""
    given = os.environ.get("AIRFLOW_CHART_FILE")
    file = Path(given) if given else cached(versions()["chart"])
    if given and not file.is_file():
        raise ChartError(f"AIRFLOW_CHART_FILE names {file}, and there is no such file; unset it, or name the archive.")
    if not file.is_file():
        return None
    digest, wanted = hashlib.sha256(file.read_bytes()).hexdigest(), versions()["chart_sha256"]
    if digest != wanted:
        raise ChartError(
            f"{file} has sha256 {digest}, and versions.yaml pins {wanted}: not the chart that these values are for; "
            "delete the file, and it is pulled again."
        )
    return file


def pulled() -> Path:
    """The pinned archive, from Airflow's repository when it is not here yet. Raises ChartError."""
    found = archive()
    if found:
        return found
    version, target, program = versions()["chart"], cached(versions()["chart"]), helm()
    if program is None:
        raise ChartError(
            f"there is no helm to pull the chart airflow {version} with; run 'make tools', or put its archive at {target}."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    pull = [program, "pull", "airflow", "--repo", REPOSITORY, "--version", version, "--destination", str(target.parent)]
    try:
        done = subprocess.run(pull, capture_output=True, text=True, check=False, timeout=300)
        said = (done.stderr.strip().splitlines() or ["no archive came"])[-1].removeprefix("Error: ")
    except subprocess.TimeoutExpired:
        said = "no answer in five minutes"
    found = archive()
    if found is None:
        raise ChartError(
            f"the chart airflow {version} could not be pulled from {REPOSITORY}: {said}; "
            f"put its archive at {target}, or name it in AIRFLOW_CHART_FILE."
        )
    return found
