"""What a DAG file says and the database cannot take ends nobody's dag-processor.

Airflow writes what a file said outside of any `try` (`_collect_results` in airflow/dag_processing/manager.py). A NUL
character in a text or in an import error, an owner or a path longer than its column: PostgreSQL refuses, and the only
dag-processor ends, again after each start (mended in Airflow 3.3, which writes elsewhere and within a `try`). Here each
file is written within a savepoint; what is refused becomes that file's import error, and the others' results stay.
"""

from __future__ import annotations

import functools
import inspect
import logging
import sys
from typing import Any

from sqlalchemy.exc import InvalidRequestError, OperationalError

log = logging.getLogger(__name__)


def install() -> None:
    """In a dag-processor, put `guarded` around Airflow's `process_parse_results`; in any other process nothing is done."""
    if "dag-processor" not in sys.argv:
        return
    from airflow.dag_processing import manager

    own = manager.process_parse_results
    if not hasattr(own, "__wrapped__") and "session" in inspect.signature(own).parameters:
        manager.process_parse_results = guarded(own)


def guarded(own: Any) -> Any:
    """`process_parse_results`, of which a file's fault does not get out."""
    from airflow.dag_processing.processor import DagFileParsingResult

    @functools.wraps(own)
    def process(*args: Any, session: Any, **words: Any) -> Any:
        def write(**other: Any) -> Any:
            with session.begin_nested():
                return own(*args, session=session, **{**words, **other})

        try:
            return write()
        except OperationalError:  # the database is away
            raise
        except Exception as error:
            said = _first(error)
        file = str(words.get("relative_fileloc"))
        log.error("%s cannot be written into the database: %s", ascii(file), said)
        try:
            return write(
                parsing_result=DagFileParsingResult(fileloc=file, serialized_dags=[], import_errors={file: said})
            )
        except OperationalError:
            raise
        except Exception:  # its name cannot be written down either
            return write(parsing_result=None)

    return process


def _first(error: BaseException) -> str:
    """What was said first. Where Airflow caught that, SQLAlchemy's last word is of a transaction that was closed by it."""
    while error.__context__ is not None:
        error = error.__context__
    if isinstance(error, InvalidRequestError):
        what = "PostgreSQL refused a part of it, such as an owner, tag, link or path that is too long; dag-processor's log says more"
    else:
        what = f"{type(error).__name__}: {str(error)!a}"
    return f"cannot be written into Airflow's database: {what}"[:500]
