"""Commands that go back or set right: rollback, restore, remove, repair, adopt."""

from __future__ import annotations

import sys

import click

import dag_adopter
import dag_protocol as protocol

from .. import publishing
from ..errors import Exit, Failure
from ..identity import identity
from ..place import Place, existing, in_bucket
from ..printing import finding_lines, print_outcome, tried


@click.command()
@click.option(
    "--to", help="The version; default: the one before the live one. Each further rollback goes one further back."
)
@in_bucket(dry_run=True)
def rollback(place: Place, to: str | None) -> None:
    """Make an older version's contents live, as a new version."""
    print_outcome(place, publishing.rollback(place.session(writes=True), to), "rolled back")


@click.command()
@click.argument("files", nargs=-1)
@in_bucket(dry_run=True)
def restore(place: Place, files: tuple[str, ...]) -> None:
    """Bring back what was deleted: a removed package, objects deleted by hand, or single FILES that left earlier."""
    print_outcome(place, publishing.restore(place.session(writes=True), files), "restored")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@in_bucket(dry_run=True)
def remove(place: Place, yes: bool) -> None:
    """Take a package out of Airflow. Its versions stay: `restore` brings it back."""
    session = place.session(writes=True)
    existing(session)
    if not yes and not place.dry_run:
        question = f"Remove package {place.package} from {place.environment}? Its DAGs leave Airflow within seconds"
        if not asks():
            raise Failure("remove asks before it acts, and there is no terminal to ask on: give --yes", Exit.USAGE)
        if not click.confirm(question, err=True):
            raise Failure("not removed", Exit.INTERRUPTED)
    outcome = publishing.remove(session)
    version = outcome.manifest.version
    lines = [
        f"removed {place.package}: {version} was live, {len(outcome.deleted)} objects got delete markers" + tried(place)
    ]
    lines.append(f"the way back: airflow-dag-publisher restore --package-name {place.package}")
    place.print({"package": place.package, "version": version, "removed": True, "deleted": outcome.deleted}, *lines)


@click.command()
@in_bucket(dry_run=True)
def repair(place: Place) -> None:
    """Make the live version's objects the current ones again, after an interrupted publish or a deletion by hand."""
    outcome = publishing.repair(place.session(writes=True))
    if outcome is None:
        place.print({"package": place.package, "changed": False}, f"{place.package}: nothing to repair")
        return
    print_outcome(place, outcome, "repaired")


@click.command()
@click.option("--package-name", "packages", multiple=True, help="Only this package; again for more. Default: all.")
@click.option("--watch", is_flag=True, help="Go on until stopped, as dag-adopter does in the cluster.")
@click.option(
    "--period",
    type=click.FloatRange(1, 3600),
    default=dag_adopter.PERIOD,
    show_default=True,
    help="Seconds between passes, with --watch.",
)
@in_bucket(package=False, dry_run=True)
def adopt(place: Place, packages: tuple[str, ...], watch: bool, period: float) -> None:
    """Make versions of edits made by hand (`aws s3 cp`, copy-object, a delete marker removed)."""
    only = frozenset(map(protocol.check_package, packages)) or None
    adopter = dag_adopter.Adopter(place.store(writes=True), place.environment, only, identity(place.endpoint_url))
    if watch:
        dag_adopter.watch(adopter, lambda finding: click.echo(dag_adopter.log_line(finding)), period)
        return
    _, findings = adopter.look(None)
    lines = [line for finding in findings for line in finding_lines(finding)] or ["nothing was edited by hand"]
    if place.dry_run:
        lines.append("dry run: nothing was written")
    place.print([{**vars(f), "refused": dict(f.refused)} for f in findings], *lines)
    problems = [f for f in findings if f.problem]
    if problems:
        raise Failure(
            f"{len(problems)} packages could not be looked at: {problems[0].package}: {problems[0].problem}",
            Exit.REFUSED,
        )


def asks() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()
