"""Everything from a publish to Airflow, in a network namespace whose one way out is a proxy, to a store with a CA of its own.

Its first argument is a file with the variables of the ConfigMap that our chart makes, as JSON. Prints what was seen as JSON.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import boto3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import dag_protocol as protocol
from dag_store import client_config
from scripts.local.ports import free_port
from scripts.local.s3_servers import KEYS
from scripts.local.waiting import wait_for
from scripts.pinned import program
from tests.network.world import BUCKET, KEY, World

STORE = "s3.store.example"  # no name server knows it: only the proxy does
OUTSIDE, INSIDE, PROXY_PORT = "10.99.0.1", "10.99.0.2", 3128


ALTERNATIVES = [x509.DNSName(STORE), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]


def certify(folder: Path) -> tuple[Path, Path, Path]:
    """A CA of the store's own, and its certificate: files with the CA, the certificate and its key."""
    now = datetime.datetime.now(datetime.UTC)
    keys = {who: ec.generate_private_key(ec.SECP256R1()) for who in ("ca", "store")}
    names = {who: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, who)]) for who in keys}

    def certificate(who: str) -> x509.Certificate:
        builder = x509.CertificateBuilder(
            names["ca"],
            names[who],
            keys[who].public_key(),
            x509.random_serial_number(),
            now,
            now + datetime.timedelta(days=1),
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=who == "ca", path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName(ALTERNATIVES), critical=False)
        builder = builder.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(keys[who].public_key()), critical=False
        )
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(keys["ca"].public_key()), critical=False
        )
        return builder.sign(keys["ca"], hashes.SHA256())

    files = folder / "ca-bundle.crt", folder / "store.crt", folder / "store.key"
    for file, who in zip(files, ("ca", "store"), strict=False):
        file.write_bytes(certificate(who).public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    files[2].write_bytes(
        keys["store"].private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return files


@contextmanager
def store(folder: Path, certificate: Path, key: Path) -> Iterator[int]:
    """versitygw with TLS on loopback, which the namespace of the pods does not reach; its port."""
    port = free_port()
    for name in ("data", "versions"):
        (folder / name).mkdir(parents=True)
    command = [
        str(program("versitygw")), "--port", f"127.0.0.1:{port}", "--access", KEYS["AWS_ACCESS_KEY_ID"], "--secret", KEYS["AWS_SECRET_ACCESS_KEY"],
        "--cert", str(certificate), "--key", str(key), "--quiet", "posix", "--versioning-dir", str(folder / "versions"), str(folder / "data"),
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        server.kill()
        server.wait()


class Proxy(ThreadingTCPServer):
    """Knows CONNECT, and one host."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port_of_the_store: int) -> None:
        self.port_of_the_store = port_of_the_store
        self.asked: list[str] = []
        super().__init__((OUTSIDE, PROXY_PORT), Tunnel)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Tunnel(StreamRequestHandler):
    """One connection through the proxy."""

    server: Proxy

    def handle(self) -> None:
        words = self.rfile.readline().decode().split()
        while self.rfile.readline().strip():
            pass
        self.server.asked.append(" ".join(words[:2]))
        if words[:2] != ["CONNECT", f"{STORE}:9000"]:
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        with socket.create_connection(("127.0.0.1", self.server.port_of_the_store)) as far:
            self.wfile.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            threading.Thread(target=pass_on, args=(far, self.connection), daemon=True).start()
            pass_on(self.connection, far)


def pass_on(source: socket.socket, target: socket.socket) -> None:
    """Copy bytes until there are no more."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@contextmanager
def namespace() -> Iterator[tuple[str, ...]]:
    """A namespace with one address, from which nothing but ours is reached; the prefix of a command that enters it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "link", "add", "outside", "type", "veth", "peer", "name", "inside"], check=True)
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep infinity"], stdout=subprocess.PIPE)
    try:
        assert holder.stdout and holder.stdout.readline()
        enter = ("nsenter", f"--target={holder.pid}", "--net")
        subprocess.run(["ip", "link", "set", "inside", "netns", str(holder.pid)], check=True)
        for prefix, link, address in (((), "outside", OUTSIDE), (enter, "inside", INSIDE)):
            subprocess.run([*prefix, "ip", "address", "add", f"{address}/30", "dev", link], check=True)
            subprocess.run([*prefix, "ip", "link", "set", link, "up"], check=True)
        subprocess.run([*enter, "ip", "link", "set", "lo", "up"], check=True)
        yield enter
    finally:
        holder.kill()
        holder.wait()


def see(variables: dict[str, str], folder: Path) -> dict[str, Any]:
    """Publish, edit by hand, and look at what Airflow says."""
    ca, certificate, key = certify(folder)
    mounted = {name: value.replace("/opt/airflow/ca/ca-bundle.crt", str(ca)) for name, value in variables.items()}
    with namespace() as enter, store(folder / "s3", certificate, key) as port:
        proxy = Proxy(port)
        client = boto3.client("s3", endpoint_url=f"https://127.0.0.1:{port}", region_name="us-east-1", verify=str(ca), config=client_config(),
                              aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"], aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"])  # fmt: skip
        wait_for(lambda: listens(port), what="the store listens")
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        client.put_object(Bucket=BUCKET, Key=protocol.marker_key("dev"), Body=b'{"schema": 1, "environment": "dev"}')
        with World(folder, {**KEYS, **mounted}, enter) as world:
            world.begin()
            world.publish("published")
            world.shows("published")
            client.put_object(Bucket=BUCKET, Key=KEY, Body=world.dag("by hand").encode())
            world.shows("by hand")
            return {"task": world.run_task(), "asked": sorted(set(proxy.asked))}


def listens(port: int) -> bool:
    """Whether somebody does on loopback."""
    try:
        with socket.create_connection(("127.0.0.1", port)) as found:
            return bool(found.getsockname() != found.getpeername())
    except OSError:
        return False


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(json.dumps(see(json.loads(Path(sys.argv[1]).read_text()), Path(name))))
