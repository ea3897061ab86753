"""Everything from a publish to Airflow, in a network namespace that has nothing but the loopback address of its first argument.

Prints what was seen as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from scripts.local import s3_servers
from scripts.local.airflow import FILES
from scripts.local.ports import free_port
from scripts.local.waiting import wait_for
from tests.network.world import BUCKET, KEY, World, answers


def see(host: str, folder: Path) -> dict[str, Any]:
    """Publish, edit by hand, and look at what Airflow and the ports say."""
    with s3_servers.running("moto", folder / "s3", host) as server, World(folder, server.environment) as world:
        bucket = server.bucket(BUCKET)
        sync_port, adopter_port, api_port = (free_port(host) for _ in range(3))
        world.begin("--http-bind", f":{sync_port}", adopter=("--http-bind", f":{adopter_port}"))
        world.stack.enter_context(world.airflow.running("api-server", "--port", str(api_port)))
        world.publish("published")
        world.shows("published")
        bucket.client.put_object(Bucket=BUCKET, Key=KEY, Body=world.dag("by hand").encode())
        world.shows("by hand")
        wait_for(lambda: answers(host, api_port, "/api/v2/version"), what="the api-server answers")
        return {
            "sync": "dag_sync_package_version" in answers(host, sync_port, "/metrics"),
            "healthy": answers(host, sync_port, "/healthz"),
            "adopter": "dag_adopter" in answers(host, adopter_port, "/metrics"),
            "task": world.run_task(),
            "hostname_callable": world.airflow.run("config", "get-value", "core", "hostname_callable").stdout.strip(),
            "address": address(host),
        }


def address(host: str) -> str:
    """What a pod would call itself, if this were its address."""
    code = f"import socket; socket.gethostname = lambda: {host!r}; import pod_address; print(pod_address.for_urls())"
    done = subprocess.run([sys.executable, "-c", code], cwd=FILES, capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(see(sys.argv[1], Path(name))))
