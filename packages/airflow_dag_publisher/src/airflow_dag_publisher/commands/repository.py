"""The command for a repository that git-sync, an image or a shared volume delivers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import click

from ..console import out
from ..errors import Exit, Failure
from ..place import OUTPUT
from ..printing import print_findings
from ..refusing import check_options, validated
from ..repository import check_repository
from ..validate import Report


@click.command("validate-repository")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--sub-path", default="", help="The DAGs folder in DIR, as `dags.gitSync.subPath`. Default: DIR itself.")
@click.option(
    "--no-dags", is_flag=True, help="Look at links, files and names alone, and not at what is in the packages."
)
@check_options
@OUTPUT
def validate_repository(folder: Path, sub_path: str, no_dags: bool, output: str, **options: Any) -> None:
    """Check a repository of packages before a commit is merged.

    For what git-sync, an image or a shared volume delivers: nothing after the merge refuses what would end Airflow's
    dag-processor, and so stop the DAGs of everybody. In a clone of git it looks at what git knows.
    """
    others = options.pop("others")

    def validate(
        package: str, files: Mapping[str, Path], parsed_files: Collection[str], beside: Collection[str]
    ) -> Report:
        return validated(
            package, dict(files), (), others=(*beside, *others), inner="", parsed_files=parsed_files, **options
        )

    try:
        report = check_repository(folder, sub_path, None if no_dags else validate)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        raise Failure(reason, Exit.USAGE) from None
    if output == "json":
        click.echo(report.to_json())
    else:
        print_findings(report.findings, out)
        out.print(report.summary, markup=False)
    if report.errors:
        raise SystemExit(Exit.REFUSED)
