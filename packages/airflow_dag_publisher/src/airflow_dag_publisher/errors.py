"""Exit codes, and the one sentence that an error becomes: what, where, as whom, and the way out."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import click

import dag_package
import dag_store
from dag_protocol import Newer, ProtocolError

from .console import visible
from .publishing import NothingToDo


class Exit(IntEnum):
    """Exit codes; docs/reference/cli.md says what to do about each."""

    OK = 0
    REFUSED = 1  # the package breaks a rule, or validation found errors
    USAGE = 2
    DENIED = 3  # no credentials, wrong, expired, or not allowed
    BUCKET = 4  # no such bucket, not versioned, not an environment
    NOT_FOUND = 5  # no such package, version or file, or its bytes expired
    LOST_RACE = 6  # somebody else's version became live first; nothing of this one is served
    NO_ANSWER = 7  # no network, time-out, server error; what was live still is
    UNKNOWN = 8  # the commit was sent and no answer came
    TOO_OLD = 9  # the bucket holds documents of a newer schema than this program knows
    INTERRUPTED = 130


CODES: tuple[tuple[type[Exception], Exit], ...] = (
    (dag_package.Unknown, Exit.UNKNOWN),
    (dag_package.LostRace, Exit.LOST_RACE),
    (NothingToDo, Exit.NOT_FOUND),
    (dag_store.Missing, Exit.NOT_FOUND),
    (dag_store.Conflict, Exit.LOST_RACE),
    (dag_store.Denied, Exit.DENIED),
    (dag_store.NoCredentials, Exit.DENIED),
    (dag_store.Unanswered, Exit.NO_ANSWER),
    (dag_store.StoreError, Exit.BUCKET),
    (Newer, Exit.TOO_OLD),
    (ProtocolError, Exit.REFUSED),
)


class Failure(click.ClickException):
    """An error as the user sees it."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.exit_code = code

    def show(self, file: object = None) -> None:
        """Write it to standard error."""
        click.echo(f"airflow-dag-publisher: {visible(self.message)}", err=True)


def translated(error: Exception, where: str, identity: Callable[[bool], str]) -> Failure:
    """Make the sentence for an error of the store or of the protocol.

    Args:
        error: what was raised.
        where: bucket and prefix.
        identity: finds out who we are, by STS or without.
    """
    code = next(code for kind, code in CODES if isinstance(error, kind))
    message = str(error).rstrip(".")
    who = identity(code not in (Exit.NO_ANSWER, Exit.UNKNOWN))
    return Failure(f"{message} [{where}, as {who}]", code)
