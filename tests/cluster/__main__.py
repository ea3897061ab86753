"""`python -m tests.cluster`: the cluster for use by hand (`make cluster`) and for the tests.

It ends with SIGTERM, SIGINT, or the end of its standard input, and takes its folder with it.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from kubernetes import client, config, utils

from tests.cluster import kubelet, longhorn
from tests.cluster.control_plane import ControlPlane, NotBuilt
from tests.cluster.pis import PIS, nodes
from tests.cluster.seen import act_on_changes

READY = "export KUBECONFIG="


def main() -> int:
    """Exit codes: 0 ended when asked, 1 a part ended by itself, 3 the programs are not built."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plane = ControlPlane(Path(tempfile.mkdtemp(prefix="airflow-platform-cluster-")))
    try:
        api = _start(plane)
        print(f"{READY}{plane.kubeconfig}", flush=True)
        act_on_changes(api, [longhorn.act, kubelet.act], _until_the_end(plane))
    except KeyboardInterrupt:
        return 0
    except NotBuilt as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 3
    except (RuntimeError, TimeoutError) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    finally:
        plane.stop()
        shutil.rmtree(plane.folder, ignore_errors=True)
    return 0


def _start(plane: ControlPlane) -> client.ApiClient:
    started = time.monotonic()
    plane.start()
    api = config.new_client_from_config(str(plane.kubeconfig))
    for document in [*longhorn.objects(PIS), *nodes()]:
        utils.create_from_dict(api, document)
    while not all(_ready(node) for node in client.CoreV1Api(api).list_node().items):
        plane.check()
        time.sleep(0.1)
    print(f"{len(PIS)} nodes in {time.monotonic() - started:.0f} s; logs in {plane.folder}")
    return api


def _ready(node: client.V1Node) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in node.status.conditions or [])


def _until_the_end(plane: ControlPlane) -> Callable[[], bool]:
    """Of standard input; a part that ends by itself is an error."""
    ended = threading.Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    def goes_on() -> bool:
        plane.check()
        return not ended.is_set()

    threading.Thread(target=wait, daemon=True).start()
    return goes_on


if __name__ == "__main__":
    sys.exit(main())
