"""Where a command works: the options for it, the package there, and its errors as sentences."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from typing import Any

import click
from rich.table import Table

import dag_package
import dag_protocol as protocol
from dag_package import Live, Session
from dag_protocol import ProtocolError
from dag_store import Denied, S3Store, Store, StoreError

from . import publishing
from .console import err, out
from .dry_run import DryRunStore
from .errors import translated
from .identity import identity

OUTPUT = click.option("--output", type=click.Choice(["text", "json"]), default="text", help="How to print the result.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
PACKAGE = click.option("--package-name", "package", required=True, help="The package, like 'sales'.")


@dataclasses.dataclass
class Place:
    """Where a command works, and how it tells about it."""

    bucket: str
    environment: str
    package: str | None
    endpoint_url: str | None
    dry_run: bool
    json: bool

    @property
    def where(self) -> str:
        """Bucket and prefix, for people."""
        prefix = f"{self.environment}/{self.package}/" if self.package else f"{self.environment}/"
        return f"s3://{self.bucket}/{prefix}" + (f" at {self.endpoint_url}" if self.endpoint_url else "")

    def store(self, writes: bool = False) -> Store:
        """The bucket; with --dry-run one that is never written to."""
        store = S3Store(self.bucket, self.endpoint_url)
        if writes:
            store.check_versioning()
            self.check_environment(store)
        return DryRunStore(store) if self.dry_run else store

    def check_environment(self, store: Store) -> None:
        """Refuse a mistyped environment. A publisher's own role may not look, and cannot write into a wrong one either."""
        marker = protocol.marker_key(self.environment)
        try:
            there = marker in store.listing(marker)
        except Denied:
            return
        if not there:
            raise StoreError(
                f"there is no environment {self.environment} in bucket {self.bucket} ({marker} is missing): "
                f"is the name right? `scripts/manage.sh apply {self.environment}` makes it"
            )

    def session(self, writes: bool = False, source: str = "") -> Session:
        """The package. Raises ProtocolError for names that break a rule."""
        assert self.package is not None
        protocol.check_environment(self.environment)
        protocol.check_package(self.package)
        publisher = identity(self.endpoint_url) if writes else ""
        return Session(self.store(writes), self.environment, self.package, publisher=publisher, source=source)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Make one sentence and an exit code of what the store and the protocol raise."""
        try:
            yield
        except (StoreError, ProtocolError) as error:
            raise translated(error, self.where, lambda ask: identity(self.endpoint_url, ask)) from error

    def print(self, document: dict[str, Any] | list[Any], *lines: str | Table) -> None:
        """Print the result, for people or as JSON."""
        if self.json:
            click.echo(json.dumps(document, indent=2))
            return
        for line in lines:
            out.print(line, markup=False) if isinstance(line, str) else out.print(line)


def in_bucket(*, package: bool = True, dry_run: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that say where it works, as one `Place`, and its errors their sentences."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def run(bucket: str, environment: str, endpoint_url: str | None, output: str, **options: Any) -> None:
            name = options.pop("package", None)
            place = Place(bucket, environment, name, endpoint_url, options.pop("dry_run", False), output == "json")
            with place.errors():
                command(place, **options)

        options = [
            click.option(
                "--bucket", envvar="AIRFLOW_PLATFORM_BUCKET", required=True, show_envvar=True, help="The bucket."
            ),
            click.option(
                "--environment",
                "--env",
                envvar="AIRFLOW_PLATFORM_ENV",
                required=True,
                show_envvar=True,
                help="Like 'dev'.",
            ),
            click.option(
                "--endpoint-url",
                envvar="AWS_ENDPOINT_URL",
                help="Of an S3 that is not AWS's; AWS_ENDPOINT_URL works too.",
            ),
            *([PACKAGE] if package else []),
            *([DRY_RUN] if dry_run else []),
            OUTPUT,
        ]
        wrapped: Callable[..., None] = update_wrapper(run, command)
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    return decorate


def existing(session: Session) -> Live:
    """The live state of a package that is there; a warning where it is damaged. Raises NothingToDo."""
    live = dag_package.read_live(session)
    if live.manifest is None:
        raise publishing.NothingToDo(
            f"there is no package {session.package} in environment {session.environment}: `list` shows what is there"
        )
    if live.damage:
        err.print(f"WARNING: {live.damage}; `repair` or the next publish mends it", style="bold red")
    return live
