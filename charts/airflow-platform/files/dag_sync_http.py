"""Health, readiness and metrics over HTTP, whoever connects and says nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from dag_sync_loop import Loop
from dag_sync_syncer import Syncer

IDLE_SECONDS = 10.0  # then a connection that asks nothing is closed
MAX_CONNECTIONS = 32


def metrics(syncer: Syncer) -> str:
    """The numbers in Prometheus' text format."""
    lines: list[str] = []

    def metric(name: str, kind: str, about: str, samples: Iterable[tuple[str, float]]) -> None:
        lines.extend((f"# HELP dag_sync_{name} {about}", f"# TYPE dag_sync_{name} {kind}"))
        lines.extend(f"dag_sync_{name}{labels} {value:.17g}" for labels, value in samples)

    packages = sorted(syncer.packages.copy().values(), key=lambda p: p.name)
    versions = [(f'{{package="{p.name}",version="{p.version}"}}', 1.0) for p in packages if p.version]
    flips = [(f'{{package="{p.name}"}}', p.flip_seconds) for p in packages if p.flip_seconds is not None]
    refused = [p for p in packages if p.action == "refused"]
    metric("count_total", "counter", "Polls by outcome.", ((f'{{status="{s}"}}', n) for s, n in syncer.counts.items()))
    metric("last_success_timestamp_seconds", "gauge", "Unix time of the last good poll.", [("", syncer.last_success)])
    metric("consecutive_errors", "gauge", "Failed polls in a row.", [("", syncer.failures)])
    metric("package_version", "gauge", "The version that is served, always 1.", versions)
    metric("publish_to_flip_seconds", "gauge", "From the pointer's time to the last flip.", flips)
    metric("packages_refused", "gauge", "Packages whose newest version is refused.", [("", len(refused))])
    metric(
        "package_refused",
        "gauge",
        "1 for each of them.",
        ((f'{{package="{p.name}"}}', 1) for p in refused if _plain(p.name)),
    )
    metric(
        "packages_failing",
        "gauge",
        "Packages that could not be fetched.",
        [("", sum(p.action == "failed" for p in packages))],
    )
    vanished = sum(p.reason == "its pointer vanished" for p in packages)
    metric("pointers_vanished", "gauge", "Packages served without a pointer.", [("", vanished)])
    return "\n".join(lines) + "\n"


def _plain(name: str) -> bool:
    return name.isidentifier()  # a hostile key must not become a label


class Server(ThreadingHTTPServer):
    """A thread for each connection, up to a number: one more is closed at once."""

    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """See socketserver."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """See socketserver."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()


def serve_http(bind: str, syncer: Syncer, loop: Loop) -> ThreadingHTTPServer:
    """Serve /healthz (the loop turns), /readyz (first sync done) and /metrics in a thread. Raises OSError, ValueError."""

    class Handler(BaseHTTPRequestHandler):
        timeout = IDLE_SECONDS

        def do_GET(self) -> None:
            answers: dict[str, Callable[[], tuple[int, str]]] = {
                "/healthz": lambda: (200, "ok\n") if loop.turning else (503, "the loop stands still\n"),
                "/readyz": lambda: (200, "ok\n") if syncer.ready else (503, "the first sync is not done\n"),
                "/metrics": lambda: (200, metrics(syncer)),
            }
            status, text = answers.get(self.path, lambda: (404, "there are /healthz, /readyz and /metrics\n"))()
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
