"""A small HTTP server for probes and metrics, whoever connects and says nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

IDLE_SECONDS = 10.0  # then a connection that asks nothing is closed
MAX_CONNECTIONS = 32

Answer = Callable[[], tuple[int, str]]
"""Gives status and text."""


class Server(ThreadingHTTPServer):
    """A thread for each connection, up to a number: one more ends the oldest, so that a probe always finds a place."""

    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        self._open: dict[Any, None] = {}
        self._lock = threading.Lock()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """See socketserver."""
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
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


def serve(bind: str, answers: Mapping[str, Answer]) -> Server:
    """Serve each path in a thread. Raises OSError, ValueError.

    Args:
        bind: an address like `:9101`.
        answers: by path.
    """
    paths = ", ".join(answers)

    class Handler(BaseHTTPRequestHandler):
        timeout = IDLE_SECONDS

        def do_GET(self) -> None:
            status, text = answers.get(self.path, lambda: (404, f"there are {paths}\n"))()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    host, _, port = bind.rpartition(":")
    server = Server((host, int(port)), Handler)
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server
