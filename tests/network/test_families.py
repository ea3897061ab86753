"""A cluster with IPv6 alone, and nodes without IPv6: a publish and an edit by hand are visible, and every port answers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest

import dag_http
from scripts.local.waiting import PATIENCE
from scripts.pinned import ROOT
from tests.helpers.needs import UNSHARE, needs_namespaces

# Before Python starts: urllib3 looks once, when it is imported, whether there is IPv6.
FAMILIES = {
    "::1": "ip link set lo up && ip address delete 127.0.0.1/8 dev lo",
    "127.0.0.1": "ip link set lo up && echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6",
}


@needs_namespaces
@pytest.mark.airflow
@pytest.mark.parametrize(("host", "in_url"), [("::1", "[::1]"), ("127.0.0.1", "127.0.0.1")])
def test_all_of_it_works_where_there_is_one_family_alone(host: str, in_url: str) -> None:
    """`:9101` was one family's, and Airflow's own hostname_callable and api-server were IPv4's alone."""
    script = f'{FAMILIES[host]} && exec "$0" -m tests.network.one_family {host}'
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", script, sys.executable], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "sync": True, "healthy": "ok\n", "adopter": True,
        "task": "pointers/dev/_environment.json pointers/dev/sales.json",
        "hostname_callable": "pod_address.for_urls", "address": in_url,
    }  # fmt: skip


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "[::1]:0", "::1:0", "[::]:0", ":::0", ":0", "localhost:0"])
def test_an_address_may_be_spelt_as_people_spell_it(bind: str) -> None:
    """`[::]:9102` and `:::9103` ended dag-sync."""
    server = dag_http.serve(bind, {"/": lambda: (200, "there\n")})
    try:
        host, port = server.server_address[:2]
        asked = {"::": "::1", "0.0.0.0": "127.0.0.1"}.get(str(host), str(host))
        with socket.create_connection((asked, port), timeout=PATIENCE) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert connection.makefile("rb").read().endswith(b"\r\n\r\nthere\n")
    finally:
        server.shutdown()
        server.server_close()
