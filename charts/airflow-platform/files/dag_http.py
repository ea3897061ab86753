"""A small HTTP server for probes and metrics, whoever connects and says nothing."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

IDLE_SECONDS = 10.0  # then a connection that asks nothing is closed
MAX_CONNECTIONS = 32

Answer = Callable[[], tuple[int, str]]
"""Gives status and text."""


class Server(ThreadingHTTPServer):
    """A thread for each connection, up to a number: one more ends the oldest, so that a probe always finds a place."""

    daemon_threads = True

    def __init__(
        self, address: tuple[Any, ...], family: socket.AddressFamily, handler: type, connections: int = MAX_CONNECTIONS
    ) -> None:
        self._connections = connections
        self._open: dict[Any, None] = {}
        self._lock = threading.Lock()
        self.address_family = family
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """See socketserver. http.server's own would ask DNS for this machine's name."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # `::` is IPv4 too
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """See socketserver."""
        with self._lock:
            if len(self._open) >= self._connections:
                oldest = next(iter(self._open))
                del self._open[oldest]
                _end(oldest)
            self._open[request] = None
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """See socketserver."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)


def _end(connection: socket.socket) -> None:
    """Wake the thread that reads from it; that thread closes it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def listen(bind: str, handler: type, connections: int = MAX_CONNECTIONS) -> Server:
    """A server on an address like `:9101`, which is every address of the pod, IPv6 and IPv4. Raises OSError, ValueError."""
    host, _, port = bind.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if host:
        family, _, _, _, address = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return Server(address, family, handler, connections)
    try:
        return Server(("::", int(port)), socket.AF_INET6, handler, connections)
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):  # nodes without IPv6
            raise
        return Server(("", int(port)), socket.AF_INET, handler, connections)


def serve(
    bind: str,
    answers: Mapping[str, Answer],
    others: Callable[[str], tuple[int, str]] | None = None,
    connections: int = MAX_CONNECTIONS,
) -> Server:
    """Serve each path in a thread. Raises OSError, ValueError.

    Args:
        bind: an address like `:9101`, `127.0.0.1:9101` or `[::1]:9101`.
        answers: by path.
        others: answers every other path; without it that is 404.
        connections: at once.
    """
    paths = ", ".join(answers)
    elsewhere = others or (lambda _: (404, f"there are {paths}\n"))

    class Handler(BaseHTTPRequestHandler):
        timeout = IDLE_SECONDS

        def do_GET(self) -> None:
            status, text = answers[self.path]() if self.path in answers else elsewhere(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = listen(bind, Handler, connections)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server
