"""dag-sync's health, readiness and metrics."""

from __future__ import annotations

from collections.abc import Iterable

from dag_http import Server, serve
from dag_sync_loop import Loop
from dag_sync_syncer import Syncer


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


def serve_http(bind: str, syncer: Syncer, loop: Loop) -> Server:
    """Serve /healthz (the loop turns), /readyz (first sync done) and /metrics in a thread. Raises OSError, ValueError."""
    return serve(
        bind,
        {
            "/healthz": lambda: (200, "ok\n") if loop.turning else (503, "the loop stands still\n"),
            "/readyz": lambda: (200, "ok\n") if syncer.ready else (503, "the first sync is not done\n"),
            "/metrics": lambda: (200, metrics(syncer)),
        },
    )
