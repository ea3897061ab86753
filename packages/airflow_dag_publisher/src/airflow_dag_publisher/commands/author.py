"""The author's commands: validate, publish, configmap."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

import dag_protocol as protocol
from dag_package import Live, Session
from dag_protocol import ProtocolError
from dag_store import StoreError

from .. import publishing, rollback, working_copy
from ..configmap import check_files, manifest
from ..console import out, progress_bar
from ..errors import Exit, Failure
from ..place import OUTPUT, PACKAGE, Place, in_bucket
from ..printing import print_outcome, print_report
from ..publishing import Wanted
from ..refusing import check_options, refuse_invalid, validated
from ..store_check import refuse_unfit
from ..working_copy import collected, file_options


def _namespace(_: click.Context, __: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", value):
        raise click.BadParameter(f"{value!r} is no namespace: lower-case letters, digits and '-', at most 63")
    return value


@click.command()
@PACKAGE
@file_options
@check_options
@OUTPUT
def validate(package: str, output: str, **options: Any) -> None:
    """Check a package and tell everything that is wrong with it at once."""
    report = validated(package, collected(options["dag_files"], options["dags_dir"]), **options)
    if output == "json":
        click.echo(report.to_json())
    else:
        print_report(report, out)
    if not report.ok:
        raise SystemExit(Exit.REFUSED)


@click.command()
@file_options
@check_options
@click.option("--no-validate", is_flag=True, help="Publish without any check of the DAGs. Loud.")
@click.option("--source", help="Commit that the files are from. Default: what CI's variables or git say.")
@in_bucket(dry_run=True)
def publish(place: Place, no_validate: bool, source: str | None, **options: Any) -> None:
    """Make a folder the live version of a package.

    With --dags-dir the package becomes what the folder holds: DAGs, helpers, SQL, YAML and templates. With --dag-file
    alone those files are added to, or replaced in, what is live.
    """
    assert place.package
    files = collected(options["dag_files"], options["dags_dir"])
    refuse_invalid(place.package, files, "published", no_validate, options)
    local_files = working_copy.wanted(files)
    folder = options["dags_dir"] or next(iter(files.values())).parent
    session = place.session(writes=True, source=working_copy.source_commit(folder) if source is None else source)
    _refuse_clash(session)
    if session.store.head(protocol.pointer_key(session.environment, session.package)) is None and not place.dry_run:
        refuse_unfit(session.store, protocol.manifests_prefix(session.environment, session.package))
    partial = options["dags_dir"] is None

    def wanted(live: Live) -> dict[str, Wanted]:
        return rollback.contents(session, live.files) | local_files if partial else local_files

    with progress_bar(sum(w.size for w in local_files.values())) as progress:
        outcome = publishing.make_live(session, wanted, progress=progress)
    print_outcome(place, outcome, "published")


@click.command("configmap")
@PACKAGE
@click.option(
    "--dags-dir",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder that is the package; it may have no sub-folders.",
)
@check_options
@click.option("--no-validate", is_flag=True, help="Make it without any check of the DAGs. Loud.")
@click.option("--namespace", default="airflow", show_default=True, callback=_namespace, help="Namespace of Airflow.")
@click.option("--output", type=click.Path(path_type=Path), help="File to write to. Default: standard output.")
def configmap(
    package: str, dags_dir: Path, no_validate: bool, namespace: str, output: Path | None, **options: Any
) -> None:
    """Print a small package as a ConfigMap, for `kubectl apply --server-side -f -`.

    For the delivery mode `configmap`: no bucket, no versions, no way back but the author's git; at most 1 MiB.
    """
    files = collected((), dags_dir)
    if output and output.resolve().is_relative_to(dags_dir.resolve()):
        raise Failure(
            f"{output} lies in the package, and would be part of it next time: write it elsewhere", Exit.USAGE
        )
    try:
        check_files(dags_dir, files)
        refuse_invalid(package, files, "made a ConfigMap", no_validate, {"dag_files": (), **options})
        contents = {path: file.load() for path, file in working_copy.wanted(files).items()}
        document = manifest(package, namespace, contents)
    except ProtocolError as error:
        raise Failure(str(error), Exit.REFUSED) from None
    if output is None:
        click.echo(document, nl=False)
        return
    try:
        output.write_bytes(document)
    except OSError as error:
        raise Failure(f"{output} cannot be written: {error.strerror}", Exit.USAGE) from None


def _refuse_clash(session: Session) -> None:
    """Refuse a new package whose DAG ids could be another's. A publisher's role may not list; then Terraform has checked."""
    prefix = protocol.pointers_prefix(session.environment)
    try:
        keys = session.store.listing(prefix)
    except StoreError:
        return
    names = {key.removeprefix(prefix).removesuffix(".json") for key in keys}
    other = protocol.package_clash(session.package, names - {protocol.MARKER})
    if other and session.package not in names:
        raise ProtocolError(
            f"package {session.package} cannot be published beside {other}: one DAG id could belong to both; choose another name"
        )
