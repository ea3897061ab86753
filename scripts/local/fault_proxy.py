"""A reverse proxy on loopback between a program and an S3 server: it counts, and breaks what a test tells it to.

with FaultProxy(server.endpoint) as proxy:
    proxy.fault = lambda seen: "reset" if seen.method == "GET" else None
    ...
    assert len(proxy.seen) == 1
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

Fault = Literal["500", "403", "409", "html", "reset", "truncate", "drip", "hang", "lose", "drop"]
"""500, 403, 409, html: an answer of that kind. reset: RST before an answer. truncate: half of the body, then the end.
drip: a byte each 50 ms. hang: nothing until the proxy ends. lose: forwarded, and the answer lost. drop: not forwarded, closed."""


CODES = {"500": "InternalError", "403": "AccessDenied", "409": "ConditionalRequestConflict"}


@dataclass(frozen=True)
class Seen:
    """A request that came by."""

    number: int  # from 1
    method: str
    path: str  # unquoted, with the bucket
    query: dict[str, list[str]]

    @property
    def is_list(self) -> bool:
        """Whether it lists current objects."""
        return "list-type" in self.query


class FaultProxy:
    """The proxy; `fault` decides on each request, in the request's own thread.

    Args:
        target: URL of the real server.
    """

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._lock = threading.Lock()
        self._end = threading.Event()
        self.seen: list[Seen] = []
        self.lost: list[Seen] = []  # those of "lose" that the server has done
        self.bytes_down = 0
        self.fault: Callable[[Seen], Fault | None] = lambda _: None

    def __enter__(self) -> Self:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                proxy.handle(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # the other side was killed

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        """URL of the proxy."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def forget(self) -> None:
        """Count from 1 again, and break nothing."""
        with self._lock:
            self.seen, self.lost, self.bytes_down = [], [], 0
            self.fault = lambda _: None

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """Forward one request, or break it."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        url = urlsplit(request.path)
        with self._lock:
            query = parse_qs(url.query, keep_blank_values=True)
            seen = Seen(len(self.seen) + 1, request.command, unquote(url.path), query)
            self.seen.append(seen)
        fault = self.fault(seen)
        if fault == "hang":
            self._end.wait()
        if fault in ("hang", "drop"):
            return self._close(request)
        if fault == "reset":
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return self._close(request)
        if fault in CODES:
            text = f"<Error><Code>{CODES[fault]}</Code><Message>of the test</Message></Error>".encode()
            return self._answer(request, int(fault), [("Content-Type", "application/xml")], text)
        if fault == "html":
            return self._answer(request, 200, [("Content-Type", "text/html")], b"<html><p>Please sign in<br></html>")
        status, headers, data = self._forward(request, body)
        if fault == "lose":
            self.lost.append(seen)
            return self._close(request)
        self._answer(request, status, headers, data, fault)

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(str(self._target.hostname), self._target.port or 80, timeout=60)
        try:
            connection.putrequest(request.command, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name.lower() not in ("expect", "connection"):
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, answer.getheaders(), data
        finally:
            connection.close()

    def _answer(
        self, request: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], data: bytes,
        fault: Fault | None = None,
    ) -> None:  # fmt: skip
        request.send_response_only(status)
        length = str(len(data))
        for name, value in headers:
            if request.command == "HEAD" and name.lower() == "content-length":
                length = value
            elif name.lower() not in ("content-length", "transfer-encoding", "connection"):
                request.send_header(name, value)
        request.send_header("Content-Length", length)
        request.end_headers()
        if request.command == "HEAD":
            return
        with self._lock:
            self.bytes_down += len(data)
        if fault == "truncate":
            request.wfile.write(data[: len(data) // 2])
            return self._close(request)
        if fault == "drip":
            for byte in data:
                request.wfile.write(bytes([byte]))
                if self._end.wait(0.05):
                    return self._close(request)
            return None
        request.wfile.write(data)

    def _close(self, request: BaseHTTPRequestHandler) -> None:
        request.close_connection = True
        with contextlib.suppress(OSError):
            request.wfile.flush()
        with contextlib.suppress(OSError):
            request.rfile.close()
        with contextlib.suppress(OSError):
            request.connection.close()
