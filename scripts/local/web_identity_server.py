"""An AWS in a namespace of its own: OIDC issuers, IAM with STS, and S3; web_identity.py starts it and says what it is for.

    unshare --map-root-user --mount --pid --fork --kill-child python web_identity_server.py VERSITYGW    # in a folder of its own

It reads `issuers.json` (issuer -> its JWKS) and `tls.pem` there, writes one line {"iam": URL, "s3": URL} when both answer, and ends with its standard
input. As it is the first process of its PID namespace, the kernel then ends all the others.

IAM fetches an issuer's keys from port 443 of a public address only. So the network is a private one in which such an address is on `lo`, and two
listeners, opened before it was left, are what the machine outside sees of it.
"""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

ADDRESS = "203.0.113.7"  # TEST-NET-3: nobody's, and neither loopback nor private
PORTS = {"iam": 7076, "s3": 7070}  # fixed, as nobody else is in this network
SOCKET = "@iam"  # abstract: it belongs to the network, and no path can be too long for it
START_SECONDS = 120


def main(versitygw: str) -> None:
    """Run until standard input ends."""
    issuers: dict[str, object] = json.loads(Path("issuers.json").read_bytes())
    hosts = {urlsplit(issuer).netloc for issuer in issuers}
    Path("hosts").write_text(f"127.0.0.1 localhost\n{ADDRESS} {' '.join(hosts)}\n")
    listeners = {name: socket.create_server(("127.0.0.1", 0)) for name in PORTS}
    os.unshare(os.CLONE_NEWNET)  # here and not by unshare(1): a listener stays in the network that it was opened in
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"],
        ["mount", "--bind", "hosts", "/etc/hosts"],
    ):
        subprocess.run(command, check=True, stdout=sys.stderr)
    serve_issuers(issuers)

    identities, objects, versions = folders = [Path(name).resolve() for name in ("identities", "objects", "versions")]
    for folder in folders:
        folder.mkdir()
    # The gateway after IAM: it asks again only after two seconds.
    start("iam", versitygw, "iam", "--dir", str(identities), "--private-ports", SOCKET)
    start(
        "s3", versitygw, "--iam-standalone-endpoint", SOCKET, "posix", "--versioning-dir", str(versions), str(objects)
    )

    for name, listener in listeners.items():
        threading.Thread(target=forward, args=(listener, PORTS[name]), daemon=True).start()
    ready = {name: f"https://127.0.0.1:{listener.getsockname()[1]}" for name, listener in listeners.items()}
    print(json.dumps(ready), flush=True)
    sys.stdin.read()


def serve_issuers(issuers: dict[str, object]) -> None:
    """Answer with the discovery document and the keys of each issuer, told apart by host and path."""
    pages: dict[str, object] = {}
    for issuer, keys in issuers.items():
        pages[f"{issuer}/.well-known/openid-configuration"] = {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
        pages[f"{issuer}/keys"] = keys

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(f"https://{self.headers['Host']}{self.path}")
            self.send_response(200 if page else 404)
            self.end_headers()
            self.wfile.write(json.dumps(page).encode())

    server = ThreadingHTTPServer((ADDRESS, 443), Handler)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain("tls.pem")
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def start(name: str, versitygw: str, *arguments: str) -> None:
    """Start one of the two servers and wait until it accepts connections; its keys are in the environment."""
    tls = str(Path("tls.pem").resolve())  # the gateway leaves this folder before it reads it
    process = subprocess.Popen(
        [versitygw, "--quiet", "--port", f"127.0.0.1:{PORTS[name]}", "--cert", tls, "--key", tls, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
    )
    waits_for: list[tuple[int, tuple[str, int] | str]] = [
        (socket.AF_INET, ("127.0.0.1", PORTS[name])),
        (socket.AF_UNIX, SOCKET.replace("@", "\0")),
    ]
    deadline = time.monotonic() + START_SECONDS
    while waits_for:
        family, address = waits_for[0]
        with socket.socket(family) as probe:
            if probe.connect_ex(address) == 0:
                waits_for.pop(0)
                continue
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{name} did not start; it ended with {process.poll()}")
        time.sleep(0.01)


def forward(listener: socket.socket, port: int) -> None:
    """Hand each connection from outside on to a server in here."""
    while True:
        outside, _ = listener.accept()
        inside = socket.create_connection(("127.0.0.1", port))
        for end in (outside, inside):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each request waits 40 ms for an ACK
        for ends in ((outside, inside), (inside, outside)):
            threading.Thread(target=pump, args=ends, daemon=True).start()


def pump(source: socket.socket, sink: socket.socket) -> None:
    """Copy what comes in until there is no more."""
    with suppress(OSError):
        while chunk := source.recv(1 << 16):
            sink.sendall(chunk)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main(sys.argv[1])
