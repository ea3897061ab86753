"""The options of rollback, restore, remove, repair and adopt; what they do is in the modules of those names, and in dag_adopter."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

import dag_adopter
import dag_protocol as protocol

from ..airflow_runs import airflow_option, in_words, unfinished_runs
from ..console import err
from ..errors import Exit, Failure
from ..identity import identity
from ..judging import refusal
from ..place import Place, existing, in_bucket
from ..printing import print_outcome, tried
from ..publishing import remove as remove_
from ..restore import repair as repair_
from ..restore import restore as restore_
from ..rollback import rollback as rollback_


@click.command()
@click.option(
    "--to", help="The version; default: the one before the live one. Each further rollback goes one further back."
)
@in_bucket(dry_run=True)
def rollback(place: Place, to: str | None) -> None:
    """Make an older version's contents live, as a new version."""
    print_outcome(place, rollback_(place.session(writes=True), to, judge=refusal), "rolled back")


@click.command()
@click.argument("files", nargs=-1)
@in_bucket(dry_run=True)
def restore(place: Place, files: tuple[str, ...]) -> None:
    """Bring back what was deleted: a removed package, objects deleted by hand, or single FILES that left earlier."""
    print_outcome(place, restore_(place.session(writes=True), files, judge=refusal), "restored")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@airflow_option
@in_bucket(dry_run=True)
def remove(place: Place, yes: bool, airflow_url: str | None, airflow_token: str | None) -> None:
    """Take a package out of Airflow. Its versions stay: `restore` brings it back; with --airflow-url its runs are told first."""
    session = place.session(writes=True)
    existing(session)
    runs = unfinished_runs(airflow_url, airflow_token, session.package) if airflow_url else {}
    if under_way := [run for of in runs.values() for run in of]:
        err.print(
            f"WARNING: {in_words(under_way)} did not end yet; of a package that is removed Airflow schedules nothing more",
            style="bold red",
        )
    if not yes and not place.dry_run:
        question = f"Remove package {place.package} from {place.environment}? Its DAGs leave Airflow within seconds"
        if not asks():
            raise Failure("remove asks before it acts, and there is no terminal to ask on: give --yes", Exit.USAGE)
        if not click.confirm(question, err=True):
            raise Failure("not removed", Exit.INTERRUPTED)
    outcome = remove_(session)
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
    outcome = repair_(place.session(writes=True))
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
            Exit.TOO_OLD if any(f.newer for f in problems) else Exit.REFUSED,
        )


def asks() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


def finding_lines(finding: dag_adopter.Finding) -> Iterator[str]:
    """What the adopter found in one package, a line each."""
    name = finding.package
    if finding.adopted:
        yield f"{name}: {', '.join(finding.edits)} adopted as version {finding.adopted}"
    if finding.deleted:
        yield f"{name}: {', '.join(finding.deleted)} deleted by hand and still served: `restore` or publish"
    for path, why in finding.refused.items():
        yield f"{name}: {path} cannot be adopted: {why}"
    if finding.orphans:
        yield f"{name}: {', '.join(finding.orphans)} left by a publish that never became live, never served: `repair` or publish"
    if finding.problem:
        yield f"{name}: {finding.problem}"
