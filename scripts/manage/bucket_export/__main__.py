"""What manage.sh asks of a bucket; one sentence on standard error for whatever is wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

import dag_protocol as protocol
from dag_store import NoBucket, StoreError

from .bucket import Bucket
from .emptying import besides_marker, empty
from .exporting import export
from .folder import Folder, Origin, Refused

REFUSED, USAGE, NO_BUCKET, INTERRUPTED = 1, 2, 3, 130

Command = Callable[..., None]


@click.group()
def cli() -> None:
    """A bucket's whole content."""


def of_bucket(command: Command) -> Command:
    """The options that say which bucket."""
    for name in ("region", "bucket"):
        command = click.option(f"--{name}", required=True)(command)
    return click.option("--environment", required=True, callback=lambda *words: protocol.check_environment(words[-1]))(
        command
    )


@cli.command()
@of_bucket
def count(bucket: str, region: str, environment: str) -> None:
    """Print how many versions and delete markers there are besides the environment's marker."""
    click.echo(len(besides_marker(Bucket(bucket, region), environment)))


@cli.command("export")
@of_bucket
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def export_command(bucket: str, region: str, environment: str, folder: Path) -> None:
    """Copy every version into DIR."""
    done = export(Bucket(bucket, region), Origin(bucket, environment, region), Folder(folder), progress)
    for warning in done.warnings:
        click.echo(f"manage.sh: warning: {warning}", err=True)
    live = f"{folder / 'live'} has {', '.join(done.packages)}" if done.packages else "no package is live"
    click.echo(
        f"exported bucket {bucket} to {folder}: {done.versions:,} versions and {done.delete_markers:,} delete markers of "
        f"{done.keys:,} keys, {decimal(done.bytes)}; {live}"
    )


@cli.command("empty")
@of_bucket
@click.option("--exported", "folder", metavar="DIR", required=True, type=click.Path(path_type=Path))
def empty_command(bucket: str, region: str, environment: str, folder: Path) -> None:
    """Delete what the export in DIR holds, if the bucket has nothing else."""
    deleted = empty(Bucket(bucket, region), Origin(bucket, environment, region), Folder(folder), progress)
    click.echo(f"emptied bucket {bucket}: {deleted:,} versions and delete markers deleted; they are in {folder}")


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, and nothing elsewhere."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(what, total=total)
        yield lambda steps: bars.advance(task, steps)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    os.umask(0o077)  # DAGs may hold secrets
    try:
        cli(arguments, prog_name="python -m scripts.manage.bucket_export", standalone_mode=False)
        return 0
    except click.ClickException as error:
        return _say(error.format_message(), USAGE)
    except NoBucket as error:
        return _say(error, NO_BUCKET)
    except (StoreError, Refused) as error:
        return _say(error, REFUSED)
    except protocol.ProtocolError as error:  # the environment's name
        return _say(error, USAGE)
    except OSError as error:
        return _say(f"{error.filename or 'the folder of the export'}: {error.strerror or error}; {_OS_HINT}", REFUSED)
    except (click.Abort, KeyboardInterrupt):
        return _say("interrupted; run the same command again, it goes on where it was", INTERRUPTED)


_OS_HINT = "nothing of what is there already is lost: mend that and run the same command again"


def _say(sentence: Any, code: int) -> int:
    click.echo(f"manage.sh: {str(sentence).rstrip('.')}.", err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
