"""Which files a command takes, and whether they are valid: the options for it, and the answer."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from .console import err
from .errors import Exit, Failure
from .printing import print_report
from .validate import Parse, Report, collect, dags_folder, relative_path, validate_package


def _python_version(_: click.Context, __: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"3\.\d{1,2}", value):
        raise click.BadParameter(f"{value!r} is not like 3.12")
    return value


def check_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say how the author's files are checked."""
    for option in reversed([
        click.option("--python-version", default="3.12", show_default=True, callback=_python_version, help="Python of the Airflow image."),
        click.option("--other-package", "others", multiple=True, help="Name of a package beside this one; again for more."),
        click.option("--kept-id", "kept_ids", multiple=True, help="DAG id that may stay without the package's prefix; again for more."),
        click.option("--parse/--no-parse", default=None, help="Insist on a real parse by Airflow, or leave it out."),
    ]):  # fmt: skip
        command = option(command)
    return command


def file_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that name the author's files and how they are checked."""
    command = check_options(command)
    for option in reversed([
        click.option("--dags-dir", type=click.Path(path_type=Path), help="Folder that is the package: everything below it."),
        click.option("--dag-file", "dag_files", multiple=True, type=click.Path(path_type=Path), help="A single DAG file; again for more."),
    ]):  # fmt: skip
        command = option(command)
    return command


def collected(dag_files: tuple[Path, ...], dags_dir: Path | None) -> dict[str, Path]:
    """The files that the options name, by their path in the package. Raises click.UsageError, Failure."""
    if not dag_files and dags_dir is None:
        raise click.UsageError("name the files: --dags-dir FOLDER, or --dag-file FILE")
    try:
        files = collect(dag_files, dags_dir)
    except (OSError, ValueError) as error:
        raise Failure(str(error), Exit.USAGE) from None
    if not files:
        raise Failure(f"there is no file in {dags_dir}", Exit.USAGE)
    if dags_dir and (dags_dir / "dags").is_dir():
        raise Failure(f"{dags_dir} has a folder dags in it: name that one, --dags-dir {dags_dir / 'dags'}", Exit.USAGE)
    return files


def validated(package: str, files: dict[str, Path], dag_files: tuple[Path, ...], python_version: str, others: tuple[str, ...],
              kept_ids: tuple[str, ...], parse: bool | None, **_: Any) -> Report:  # fmt: skip
    """What is wrong with the files of a package; of the ones beside them nothing is told."""
    how: Parse = "auto" if parse is None else "always" if parse else "never"
    names = [relative_path(f) for f in dag_files]
    beside = {p: f for folder in {dags_folder(f) for f in dag_files} if folder for p, f in collect((), folder).items()}
    report = validate_package(package, beside | files, python_version, others, how, names, kept_ids)
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
