"""Files are validated before a command goes on with them, or it refuses: the options for it, the answer, the refusal."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import click

from .console import err
from .errors import Exit, Failure
from .printing import print_report
from .validate import Parse, Report, collect, dags_folder, relative_path, validate_package

AIRFLOWS_PYTHON = "3.12"  # of the image


def _python_version(_: click.Context, __: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"3\.\d{1,2}", value):
        raise click.BadParameter(f"{value!r} is not like 3.12")
    return value


def check_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say how the author's files are checked."""
    for option in reversed([
        click.option("--python-version", default=AIRFLOWS_PYTHON, show_default=True, callback=_python_version, help="Python of the Airflow image."),
        click.option("--other-package", "others", multiple=True, help="Name of a package beside this one; again for more."),
        click.option("--kept-id", "kept_ids", multiple=True, help="DAG id that may stay without the package's prefix; again for more."),
        click.option("--parse/--no-parse", default=None, help="Insist on a real parse by Airflow, or leave it out."),
    ]):  # fmt: skip
        command = option(command)
    return command


def validated(package: str, files: dict[str, Path], dag_files: tuple[Path, ...], python_version: str, others: tuple[str, ...],
              kept_ids: tuple[str, ...], parse: bool | None, inner: str = "dags",
              parsed_files: Collection[str] | None = None, **_: Any) -> Report:  # fmt: skip
    """What is wrong with the files of a package; of the ones beside them nothing is told."""
    how: Parse = "auto" if parse is None else "always" if parse else "never"
    names = [relative_path(f) for f in dag_files]
    beside = {p: f for folder in {dags_folder(f) for f in dag_files} if folder for p, f in collect((), folder).items()}
    report = validate_package(
        package, beside | files, python_version, others, how, names, kept_ids, inner=inner, parsed_files=parsed_files
    )
    # Files that only lie beside the ones asked for make imports true; what is wrong with them is not the question.
    findings = tuple(f for f in report.findings if f.path in files or f.path not in beside)
    return dataclasses.replace(report, findings=findings)


def refuse_invalid(package: str, files: dict[str, Path], done: str, no_validate: bool, options: dict[str, Any]) -> None:
    """Raise Failure unless the package is valid, or nobody shall look."""
    if no_validate:
        err.print(
            f"WARNING: package {package} is {done} without validation: a broken DAG goes stale at once",
            style="bold red",
        )
        return
    report = validated(package, files, **options)
    print_report(report, err)
    if not report.ok:
        raise Failure(f"package {package} was not {done}: {len(report.errors)} errors", Exit.REFUSED)
