"""Airflow's UI, and a shell that acts as a package, after the demo."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from scripts.demo.demo import ENVIRONMENT, Demo, console, wait_for_answer
from scripts.local.ports import free_port


def show_ui(demo: Demo) -> None:
    """Leave Airflow's UI running until the person ends it."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with demo.airflow.running("api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"):
        wait_for_answer(f"{address}/api/v2/monitor/health", "Airflow's UI answers", 120)
        console.print(
            f"\nAirflow's UI: {address} (no password: it listens on loopback only). Publish as a package's role with:"
        )
        console.print(
            f"  source {write_shell(demo)}; .venv/bin/airflow-dag-publisher versions --package-name sales\nCtrl-C ends it all."
        )
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


def write_shell(demo: Demo) -> Path:
    """A file that makes a shell act as the package sales on the demo's AWS."""
    file = demo.folder / "sales.env"
    variables = {**demo.roles["sales"], "AIRFLOW_PLATFORM_BUCKET": demo.bucket, "AIRFLOW_PLATFORM_ENV": ENVIRONMENT}
    file.write_text("".join(f"export {name}='{value}'\n" for name, value in variables.items()))
    return Path(os.path.relpath(file))
