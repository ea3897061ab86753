#!/usr/bin/env python3
"""dag-sync: git-sync for DAG packages in S3. Here are its contract and its command; dag_sync_*.py are its parts.

Each poll is one listing of `pointers/<environment>/`, whatever the number of files. A package whose pointer changed is
fetched whole into a hidden store, checked, and shown by one rename(2):

    <link>/<package> -> <root>/.store/packages/<package>/<version>        Airflow sees <link>/<package>/dags/<file>.py

What is served is a function of the bucket alone: the newest acceptable version along the pointer's history. Nothing is
ever deleted on doubt: a failed listing, a listing without the environment's marker, or a vanished pointer keeps what is
there. Not promised: a reader that opens several files by path during a flip may see two versions; one that resolves
the link once never does.

It is safe to kill at any line, so the signal to end is obeyed at once. Needs boto3 and what the stock Airflow image has.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import Any

import dag_protocol as protocol
from dag_contents import Undecided
from dag_protocol import ProtocolError
from dag_store import S3Store, StoreError
from dag_sync_fetch import Bucket, Late
from dag_sync_http import serve_http
from dag_sync_log import brief, log
from dag_sync_loop import PERIOD, Loop
from dag_sync_requests import Requests, result_of
from dag_sync_syncer import STALE_TIMEOUT, Syncer
from dag_sync_versions import Gone, Versions, serve_versions
from dag_tree import Budget, Tree

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_NOTHING_SERVED = 0, 1, 2, 4


def parser() -> argparse.ArgumentParser:
    """The options; each has a variable of the same meaning, so that a pod can be set by its environment."""
    parser = argparse.ArgumentParser(
        prog="dag_sync.py",
        description="Delivers DAG packages from S3: whole versions, shown by one rename.",
        epilog="Exit codes: 0 done, 1 the bucket or a package failed, 2 wrong use, 4 a package has no acceptable version. "
        "Credentials come from the AWS chain; AWS_ENDPOINT_URL works.",
    )

    def option(flag: str, variable: str, default: Any, about: str, **more: Any) -> None:
        parser.add_argument(flag, default=os.environ.get(variable) or default, help=f"{about} ({variable})", **more)

    option("--bucket", "DAG_SYNC_BUCKET", None, "bucket with the packages")
    option("--environment", "DAG_SYNC_ENVIRONMENT", None, "environment, the first part of the keys")
    option("--root", "DAG_SYNC_ROOT", "/opt/airflow/dags", "folder that holds the hidden store", type=Path)
    option(
        "--link",
        "DAG_SYNC_LINK",
        None,
        "folder in which the package links appear, Airflow's DAGs folder; default: the root",
        type=Path,
    )
    option("--period", "DAG_SYNC_INTERVAL", PERIOD, f"seconds between polls, {PERIOD:g} by default", type=seconds)
    parser.add_argument(
        "--package",
        action="append",
        help="deliver this package only; again for more, or separated by commas (DAG_SYNC_PACKAGES)",
    )
    option(
        "--max-failures", "DAG_SYNC_MAX_FAILURES", -1, "failed polls in a row that end it; negative: never", type=int
    )
    option(
        "--stale-timeout",
        "DAG_SYNC_STALE_TIMEOUT",
        STALE_TIMEOUT,
        "seconds that a replaced version is kept for running tasks",
        type=seconds,
    )
    option(
        "--http-bind",
        "DAG_SYNC_HTTP_BIND",
        None,
        "address for /healthz, /readyz and /metrics, like :9101",
        type=address,
    )
    option(
        "--versions-bind",
        "DAG_SYNC_VERSIONS_BIND",
        None,
        "address on loopback for /versions/<package>/<version>, like 127.0.0.1:9105",
        type=address,
    )
    option(
        "--version",
        "DAG_SYNC_VERSION",
        None,
        "with --one-time and one --package: put this version on disk and no other; nothing is linked",
    )
    option(
        "--tracking",
        "DAG_SYNC_TRACKING",
        None,
        "folder in which Airflow locks the versions that tasks use, `_tracking` of its bundles' storage: those are not pruned",
        type=Path,
    )
    option(
        "--max-bytes",
        "DAG_SYNC_MAX_BYTES",
        Budget.bytes,
        "what the store may hold, in bytes; below half of the volume's limit",
        type=int,
    )
    option("--max-inodes", "DAG_SYNC_MAX_INODES", Budget.inodes, "what the store may hold, in files", type=int)
    parser.add_argument(
        "--one-time",
        action="store_true",
        help="sync once and end; where a loop runs already, have it sync now and wait",
    )
    parser.add_argument(
        "--timeout", default=300.0, type=seconds, help="seconds to wait for a running loop, with --one-time"
    )
    return parser


def seconds(text: str) -> float:
    """A duration: `15`, `1.5`, `15s`, `10m` or `1h`, as git-sync takes it too."""
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    value = float(text[:-1]) * units[text[-1]] if text[-1:] in units else float(text)
    if not 0.05 <= value < 1e7:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 0.05 seconds and 100 days")
    return value


def address(text: str) -> str:
    """An address to listen on: `:9101`, or `127.0.0.1:9101`."""
    _, colon, port = text.rpartition(":")
    if not (colon and port.isdecimal() and 0 < int(port) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is not an address like :9101")
    return text


def settings(argv: list[str] | None) -> tuple[argparse.Namespace, frozenset[str] | None]:
    """Read options and variables. Ends with 2 and one sentence when they are wrong."""
    options = parser()
    args = options.parse_args(argv)
    given = args.package or [os.environ.get("DAG_SYNC_PACKAGES", "")]
    names = [name for text in given for name in text.split(",") if name]
    for value, flag in (
        (args.bucket, "--bucket or DAG_SYNC_BUCKET"),
        (args.environment, "--environment or DAG_SYNC_ENVIRONMENT"),
    ):
        if not value:
            options.error(f"{flag} is missing")
    try:
        protocol.check_environment(args.environment)
        only = frozenset(map(protocol.check_package, names)) if names else None
        if args.version:
            protocol.check_version(args.version)
            if not (args.one_time and only and len(only) == 1):
                options.error("--version needs --one-time and one --package")
    except ProtocolError as error:
        options.error(str(error))
    return args, only


def report(result: dict[str, Any]) -> int:
    """Print what `--one-time` did, a line a package, and return the exit code."""
    if not result["good"]:
        print("dag-sync: the bucket could not be listed; what is there stays (the log says why)")
        return EXIT_FAILED
    for row in result["packages"]:
        print(f"{row['package']:<40.40} {row['action']:<10} {row['version'] or '-':<26} {row['reason']}".rstrip())
    if any(row["action"] == "failed" for row in result["packages"]):
        return EXIT_FAILED
    if any(row["action"] == "refused" and not row["version"] for row in result["packages"]):
        return EXIT_NOTHING_SERVED
    return EXIT_OK


def bring(syncer: Syncer, version: str, timeout: float) -> int:
    """Put one version of the one package on disk, and return the exit code."""
    package = next(iter(syncer.only or ()))  # one: `settings` saw to it
    try:
        Versions(syncer).bring(package, version, timeout)
    except Gone as error:
        log("error", "the version cannot be brought", package=package, version=version, reason=str(error))
        return EXIT_NOTHING_SERVED
    except Late:
        log("error", f"the version was not there after {timeout:g} seconds", package=package, version=version)
        return EXIT_FAILED
    except (Undecided, ProtocolError, StoreError, OSError) as error:
        log("error", brief(error), package=package, version=version)
        return EXIT_FAILED
    return EXIT_OK


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # PID 1 has no default action; every line is safe to die at
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # till there is a loop: its first turn is soon
    args, only = settings(argv)
    root = Path(args.root).resolve()
    requests = Requests(root)
    try:
        lock = requests.own()
        if lock is None:
            if not args.one_time:
                log("error", f"another dag-sync runs on {root}: one process per root; --one-time asks it to sync now")
                return EXIT_FAILED
            result, lock = requests.ask(args.timeout)
            if result:
                return report(result)
            if lock is None:
                print(f"dag-sync: the running process did not answer within {args.timeout:g} seconds; its log says why")
                return EXIT_FAILED
        store = S3Store(args.bucket)
        link = Path(args.link).resolve() if args.link else None
        tree = Tree(root, link, Budget(args.max_bytes, args.max_inodes), args.tracking)
        syncer = Syncer(Bucket(store, args.environment), tree, only, args.stale_timeout)
        loop = Loop(syncer, requests, args.period, args.max_failures)
        signal.signal(signal.SIGHUP, loop.hurry)
        syncer.start()
        if args.version:
            return bring(syncer, args.version, args.timeout)
        if args.one_time:
            syncer.poll()
            for package in only - syncer.packages.keys() if only else ():
                log("warning", "no such package in the bucket", package=package)
            return report(result_of(syncer))
        if args.http_bind:
            serve_http(args.http_bind, syncer, loop)
        if args.versions_bind:
            serve_versions(args.versions_bind, syncer)
    except (OSError, StoreError, ValueError) as error:
        log("error", str(error))
        return EXIT_FAILED
    log("info", "started", bucket=args.bucket, environment=args.environment, root=str(root), period=args.period,
        packages=sorted(only) if only else "all")  # fmt: skip
    loop.run()
    os._exit(EXIT_FAILED)  # a turn that is under way may take a minute; every line is safe to die at


if __name__ == "__main__":
    sys.exit(main())
