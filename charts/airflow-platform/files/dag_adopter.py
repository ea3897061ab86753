#!/usr/bin/env python3
"""Makes versions of edits by hand, so that the plain `aws s3` commands of the operations guide go live too.

One LIST of the environment is a pass (10 requests for 10,000 files). A package's edits are committed once two listings,
some seconds apart, agree: `aws s3 sync` of 20 files is not atomic. Deletions by hand are reported, never applied.

Runs in the cluster as `dag-adopter`, one replica, and behind `airflow-dag-publisher adopt`. It runs no DAG code.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import dag_package
import dag_protocol as protocol
from dag_http import serve
from dag_package import Live, Session
from dag_protocol import Newer, ProtocolError
from dag_retention import Round
from dag_store import Listed, S3Store, Store, StoreError

PERIOD = 20.0  # seconds between passes of --watch
MAX_BYTES = 2 * protocol.MAX_PACKAGE_BYTES  # of a package and of what a publish left on top of it
SETTLE = 10.0  # seconds between the two listings that must agree
BEHIND_SLASH = chr(ord("/") + 1)  # behind every name in a folder, whatever is in it


@dataclass
class Finding:
    """What a pass saw of one package."""

    package: str
    edits: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    noncurrent: tuple[str, ...] = ()  # live files that are not the current object: retention alone keeps their bytes
    adopted: str | None = None  # the version that was made
    waiting: bool = False  # edits that are still changing
    problem: str = ""
    newer: bool = False  # the problem is a document of a newer schema

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.edits or self.deleted or self.orphans or self.refused or self.problem)


class Adopter:
    """Looks for edits by hand and makes versions of them.

    Args:
        store: the bucket.
        environment: its name.
        only: names of the packages to look at; None: all.
        publisher: who it is, for the manifests.
    """

    def __init__(
        self, store: Store, environment: str, only: frozenset[str] | None = None, publisher: str = "dag-adopter"
    ) -> None:
        self.store = store
        self.environment = protocol.check_environment(environment)
        self.only = only
        self.publisher = publisher
        self.beat: Callable[[], None] = lambda: None  # called after each package, so that a long pass is no standstill
        self._looked: dict[str, tuple[str, str | None, Finding]] = {}

    def listing(self) -> Iterator[tuple[str, dict[str, Listed]]]:
        """Yield the current objects of one package after another, one more than it may have at most.

        Keys outside of `<package>/dags/` and bad package names are no packages. What one package heaps up is stepped over.
        """
        prefix = f"{self.environment}/"
        prefixes = (
            [protocol.files_prefix(self.environment, name) for name in sorted(self.only)] if self.only else [prefix]
        )
        for one in prefixes:
            package, found, after, more = "", dict[str, Listed](), "", True
            while more:
                page, more = self.store.page(one, after)
                for key, entry in page.items():
                    after = key
                    name, dags, _ = (*key.removeprefix(prefix).split("/", 2), "", "")[:3]
                    if name != package:
                        if found:
                            yield package, found
                        package, found = name, {}
                    if dags == "dags":
                        found[key] = entry
                    if len(found) > protocol.MAX_FILES:
                        after, more = f"{prefix}{package}/dags{BEHIND_SLASH}", True
                        break
            if found:
                yield package, found

    def look(self, before: Mapping[str, str] | None) -> tuple[dict[str, str], list[Finding]]:
        """Do one pass.

        Args:
            before: what the pass before returned; what differs from it is still being written. None: adopt at once.

        Returns:
            A digest of each package's listing, and what was found, a line a package.
        """
        pointers = self.store.listing(protocol.pointers_prefix(self.environment))
        if protocol.marker_key(self.environment) not in pointers:
            raise ProtocolError(
                f"there is no {protocol.marker_key(self.environment)}: is that the right bucket and environment?"
            )
        now: dict[str, str] = {}
        findings: list[Finding] = []

        def look_at(package: str, keys: dict[str, Listed]) -> None:
            now[package] = _digest(keys)
            settled = before is None or before.get(package, NOTHING) == now[package]
            findings.append(self._look_at(package, keys, now[package], pointers, settled))

        for package, keys in self.listing():
            look_at(package, keys)
        for package in self._published(pointers) - now.keys():
            look_at(package, {})
        findings.sort(key=lambda finding: finding.package)
        for package in sorted((self.only or frozenset()) - {f.package for f in findings}):
            findings.append(Finding(package, problem=f"there is no such package in {self.environment}"))
        return now, findings

    def _published(self, pointers: Mapping[str, Listed]) -> set[str]:
        """Packages with a pointer: one whose files were all deleted by hand is in no listing of files."""
        prefix = protocol.pointers_prefix(self.environment)
        names = {key.removeprefix(prefix).removesuffix(".json") for key in pointers if key.endswith(".json")}
        return {n for n in names if "/" not in n and n != protocol.MARKER and (self.only is None or n in self.only)}

    def _look_at(
        self, package: str, keys: dict[str, Listed], digest: str, pointers: Mapping[str, Listed], settled: bool
    ) -> Finding:
        try:
            pointer = pointers.get(protocol.pointer_key(self.environment, package))
            known = self._looked.get(package)
            if known and known[:2] == (digest, pointer.etag if pointer else None) and not known[2].waiting:
                return known[2]
            session = Session(self.store, self.environment, package, publisher=self.publisher)
            other = None if pointer else protocol.package_clash(package, self._published(pointers))
            if other:
                raise ProtocolError(
                    f"package {package} cannot be beside {other}: one DAG id could belong to both; move its files"
                )
            finding = _adopt(session, keys, pointer is not None, settled)
            if finding.adopted is None:
                self._looked[package] = (digest, pointer.etag if pointer else None, finding)
        except (StoreError, ProtocolError) as error:
            finding = Finding(package, problem=str(error), newer=isinstance(error, Newer))
        self.beat()
        return finding


def _digest(listing: Mapping[str, Listed]) -> str:
    return protocol.sha256(repr(sorted((k, e.etag, e.size) for k, e in listing.items())).encode())


NOTHING = _digest({})


def _adopt(session: Session, keys: Mapping[str, Listed], has_pointer: bool, settled: bool) -> Finding:
    if len(keys) > protocol.MAX_FILES:
        raise ProtocolError(f"there are more objects than the {protocol.MAX_FILES:,} files that a package may have")
    if sum(entry.size for entry in keys.values()) > MAX_BYTES:
        raise ProtocolError(
            f"the objects have more bytes than the {MAX_BYTES:,} that are looked at: delete what is no part of it"
        )
    live = dag_package.read_live(session) if has_pointer else Live()
    found = dag_package.survey(session, live, keys, thorough=False)
    edits = tuple(sorted(found.edits)) if not live.removed else ()
    covered = {path for path in live.files if found.meanings.get(path) == "orphan" or path in found.refused}
    noncurrent = tuple(sorted(covered | set(found.deleted)))
    finding = Finding(session.package, edits, found.deleted, found.orphans, found.refused, noncurrent)
    if live.pointer is None and found.orphans:
        # A first publish under way, or a pointer deleted by hand: what is here is not known to be whole.
        finding.problem = "there is no pointer, and files of a publish are here: `publish` or `repair` makes it whole"
    elif live.damage:
        finding.problem = f"{live.damage}: `repair` or publish mends it"
    elif edits and not settled:
        finding.waiting = True
    elif edits:
        manifest = dag_package.adopt(session, live, found).manifest
        finding.adopted = manifest.version if manifest else None
    return finding


def watch(adopter: Adopter, tell: Callable[[Finding], None], period: float = PERIOD, settle: float = SETTLE,
          stop: threading.Event | None = None, heartbeat: Path | None = None,
          then: Callable[[list[Finding]], None] = lambda _findings: None) -> None:  # fmt: skip
    """Look until `stop` is set: each `period` seconds, and again after `settle` while something is being edited.

    `then` is called after each good look, with what it found. `heartbeat` is touched after each look, good or bad: a liveness probe sees by its age whether the loop turns.
    """
    stop = stop or threading.Event()
    if heartbeat:
        adopter.beat = heartbeat.touch
    before: dict[str, str] = {}
    told: dict[str, Finding] = {}
    while not stop.is_set():
        waiting = False
        try:
            before, findings = adopter.look(before)
            then(findings)
        except (StoreError, ProtocolError) as error:
            findings = [Finding("-", problem=str(error))]
        for finding in findings:
            waiting |= finding.waiting
            if finding != told.get(finding.package):
                told[finding.package] = finding
                if not finding.quiet or finding.adopted:
                    tell(finding)
        if heartbeat:
            heartbeat.touch()
        stop.wait(settle if waiting else period)


def expire_for_ever(retention: Round) -> None:
    """Give one package after another its turn, and tell what became of it. Beside the passes: a long history takes minutes."""
    while True:
        time.sleep(PERIOD)
        try:
            result = retention.turn()
        except (StoreError, ProtocolError) as error:
            print(_line("nothing expires", problem=str(error)), flush=True)
            continue
        if result and result[1]:
            print(_line("may be deleted by the bucket's rule", package=result[0], objects=result[1]), flush=True)


class Metrics:
    """What the last pass saw, as Prometheus reads it."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.last_pass = 0.0

    def text(self) -> str:
        """The numbers in Prometheus' text format."""
        lines = [
            "# HELP dag_adopter_last_pass_timestamp_seconds Unix time of the last pass that read the bucket.",
            "# TYPE dag_adopter_last_pass_timestamp_seconds gauge",
            f"dag_adopter_last_pass_timestamp_seconds {self.last_pass:.17g}",
        ]
        for name, about, counted in (
            ("live_objects_noncurrent", "Live files whose bytes are not the current object.", [len(f.noncurrent) for f in self.findings]),
            ("edits_refused", "Edits by hand that break a rule.", [len(f.refused) for f in self.findings]),
            ("problems", "1 where the package could not be looked at.", [int(bool(f.problem)) for f in self.findings]),
        ):  # fmt: skip
            lines += [f"# HELP dag_adopter_{name} {about}", f"# TYPE dag_adopter_{name} gauge"]
            lines += [
                f'dag_adopter_{name}{{package="{finding.package}"}} {count}'
                for finding, count in zip(self.findings, counted, strict=True)
                if finding.package.isidentifier()  # a hostile key must not become a label
            ]
        return "\n".join(lines) + "\n"


def log_line(finding: Finding) -> str:
    """A finding as a JSON line."""
    return _line("adopter", **{k: v for k, v in vars(finding).items() if v})


def _line(message: str, **fields: object) -> str:
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": time, "message": message, **fields}, default=list)


def parser() -> argparse.ArgumentParser:
    """The options of the cluster's dag-adopter."""
    parser = argparse.ArgumentParser(prog="dag_adopter.py", description="Makes versions of edits by hand.")
    parser.add_argument(
        "--bucket", default=os.environ.get("DAG_SYNC_BUCKET"), help="bucket with the packages (DAG_SYNC_BUCKET)"
    )
    parser.add_argument(
        "--environment",
        default=os.environ.get("DAG_SYNC_ENVIRONMENT"),
        help="its first part of the keys (DAG_SYNC_ENVIRONMENT)",
    )
    parser.add_argument(
        "--period",
        type=float,
        default=os.environ.get("DAG_ADOPTER_INTERVAL") or PERIOD,
        help="seconds between passes (DAG_ADOPTER_INTERVAL)",
    )
    parser.add_argument(
        "--heartbeat",
        type=Path,
        default=os.environ.get("DAG_ADOPTER_HEARTBEAT"),
        help="file that is touched after each pass (DAG_ADOPTER_HEARTBEAT)",
    )
    parser.add_argument(
        "--http-bind",
        default=os.environ.get("DAG_ADOPTER_HTTP_BIND"),
        help="address for /metrics, like :9104 (DAG_ADOPTER_HTTP_BIND)",
    )
    parser.add_argument("--one-time", action="store_true", help="two listings, then end")
    return parser


def main(argv: Iterable[str] | None = None) -> int:
    """Run as the cluster's dag-adopter."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # every line is safe to die at
    options = parser()
    args = options.parse_args(list(argv) if argv is not None else None)
    if not args.bucket or not args.environment:
        options.error("--bucket and --environment are needed")
    if not 1 <= args.period <= 3600:
        options.error(f"--period {args.period:g} is not between 1 and 3600 seconds")
    try:
        store = S3Store(args.bucket)
        adopter = Adopter(store, args.environment)
        if not args.one_time:
            retention, metrics = Round(store, args.environment), Metrics()

            def after_look(findings: list[Finding]) -> None:
                metrics.findings, metrics.last_pass = findings, time.time()
                retention.packages = [finding.package for finding in findings]

            threading.Thread(target=expire_for_ever, args=(retention,), name="retention", daemon=True).start()
            if args.http_bind:
                serve(args.http_bind, {"/metrics": lambda: (200, metrics.text())})
            watch(adopter, lambda finding: print(log_line(finding), flush=True), args.period, heartbeat=args.heartbeat,
                  then=after_look)  # fmt: skip
            return 0
        before, _ = adopter.look({})
        time.sleep(SETTLE)
        findings = adopter.look(before)[1]
        for finding in findings:
            print(log_line(finding), flush=True)
        return 1 if any(finding.problem for finding in findings) else 0
    except (OSError, StoreError, ValueError) as error:
        print(log_line(Finding("-", problem=str(error))), flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
