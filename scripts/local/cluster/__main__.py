"""`python -m scripts.local.cluster`: the cluster for use by hand (`make cluster`) and for the tests.

It ends with SIGTERM, SIGINT, or the end of a pipe on its standard input, and takes its folder with it.
"""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
from pathlib import Path

from kubernetes import client, config, utils

from scripts.local.cluster import kubelet, longhorn
from scripts.local.cluster.cluster import READY
from scripts.local.cluster.control_plane import ControlPlane, NotBuilt
from scripts.local.cluster.pis import PIS, nodes
from scripts.local.cluster.seen import act_on_changes


def main() -> int:
    """Exit codes: 0 ended when asked, 1 a part ended by itself, 3 the programs are not built."""
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background job ignores the latter
        signal.signal(number, signal.default_int_handler)
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"  # nothing here is beyond a proxy
    plane = ControlPlane(Path(tempfile.mkdtemp(prefix="airflow-platform-cluster-")))
    try:
        _end_with_the_pipe()
        api = _start(plane)
        print(f"{READY}{plane.kubeconfig}", flush=True)
        act_on_changes(api, [longhorn.act, kubelet.act], plane.check)
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
    plane.wait(lambda: all(_ready(node) for node in client.CoreV1Api(api).list_node().items))
    print(f"{len(PIS)} nodes in {time.monotonic() - started:.0f} s; logs in {plane.folder}; Ctrl-C ends it")
    print("kubectl label node pi-worker-02 power=off --overwrite   # it dies; power=on: it comes back")
    return api


def _ready(node: client.V1Node) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in node.status.conditions or [])


def _end_with_the_pipe() -> None:
    """Whoever holds its other end is gone, whatever ended that. By hand there is a terminal, or nothing."""

    def wait() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)

    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
