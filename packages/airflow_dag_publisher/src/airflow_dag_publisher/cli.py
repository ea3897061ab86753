"""The command `airflow-dag-publisher`."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import update_wrapper
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

import dag_adopter
import dag_package
import dag_protocol as protocol
from dag_package import Live, Session
from dag_protocol import Manifest, ProtocolError
from dag_store import Denied, Missing, S3Store, Store, StoreError

from . import comparing, configmap, local, publishing
from .dry_run import DryRunStore
from .errors import Exit, Failure, identity, translated
from .publishing import Outcome, Wanted
from .validate import Parse, Report, collect, dags_folder, relative_path, validate_package

PROGRESS_FROM_BYTES = 1024 * 1024
WIDE = 400  # no table may cut a version in a log file or a pipe
out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


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


# --- options --------------------------------------------------------------------------------------------------

OUTPUT = click.option("--output", type=click.Choice(["text", "json"]), default="text", help="How to print the result.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, and write nothing.")
PACKAGE = click.option("--package-name", "package", required=True, help="The package, like 'sales'.")


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


def _python_version(_: click.Context, __: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"3\.\d{1,2}", value):
        raise click.BadParameter(f"{value!r} is not like 3.12")
    return value


def _namespace(_: click.Context, __: click.Parameter, value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", value):
        raise click.BadParameter(f"{value!r} is no namespace: lower-case letters, digits and '-', at most 63")
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


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="airflow-dag-publisher")
def cli() -> None:
    """Validate, publish, roll back and inspect packages of Airflow DAGs in a versioned S3 bucket.

    Credentials come from the ordinary AWS chain. Exit codes: 0 done, 1 refused, 2 wrong use, 3 credentials, 4 bucket,
    5 not found, 6 somebody else was first, 7 no answer, 8 no answer to the commit.
    """


# --- author ---------------------------------------------------------------------------------------------------


@cli.command()
@PACKAGE
@file_options
@OUTPUT
def validate(package: str, output: str, **options: Any) -> None:
    """Check a package and tell everything that is wrong with it at once."""
    report = _validate(package, _collect(options["dag_files"], options["dags_dir"]), **options)
    if output == "json":
        click.echo(report.to_json())
    else:
        _print_report(report, out)
    if not report.ok:
        raise SystemExit(Exit.REFUSED)


@cli.command()
@file_options
@click.option("--no-validate", is_flag=True, help="Publish without any check of the DAGs. Loud.")
@click.option("--source", help="Commit that the files are from. Default: what CI's variables or git say.")
@in_bucket(dry_run=True)
def publish(place: Place, no_validate: bool, source: str | None, **options: Any) -> None:
    """Make a folder the live version of a package.

    With --dags-dir the package becomes what the folder holds: DAGs, helpers, SQL, YAML and templates. With --dag-file
    alone those files are added to, or replaced in, what is live.
    """
    assert place.package
    files = _collect(options["dag_files"], options["dags_dir"])
    _refuse_invalid(place.package, files, "published", no_validate, options)
    local_files = local.wanted(files)
    folder = options["dags_dir"] or next(iter(files.values())).parent
    session = place.session(writes=True, source=local.source_commit(folder) if source is None else source)
    _refuse_clash(session)
    partial = options["dags_dir"] is None

    def wanted(live: Live) -> dict[str, Wanted]:
        return publishing.contents(session, live.files) | local_files if partial else local_files

    with _progress(sum(w.size for w in local_files.values())) as progress:
        outcome = publishing.make_live(session, wanted, progress=progress)
    _print_outcome(place, outcome, "published")


@cli.command("configmap")
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
def configmap_(
    package: str, dags_dir: Path, no_validate: bool, namespace: str, output: Path | None, **options: Any
) -> None:
    """Print a small package as a ConfigMap, for `kubectl apply --server-side -f -`.

    For the delivery mode `configmap`: no bucket, no versions, no way back but the author's git; at most 1 MiB.
    """
    files = _collect((), dags_dir)
    if output and output.resolve().is_relative_to(dags_dir.resolve()):
        raise Failure(
            f"{output} lies in the package, and would be part of it next time: write it elsewhere", Exit.USAGE
        )
    try:
        configmap.check_files(dags_dir, files)
        _refuse_invalid(package, files, "made a ConfigMap", no_validate, {"dag_files": (), **options})
        contents = {path: file.load() for path, file in local.wanted(files).items()}
        manifest = configmap.manifest(package, namespace, contents)
    except ProtocolError as error:
        raise Failure(str(error), Exit.REFUSED) from None
    if output is None:
        click.echo(manifest, nl=False)
        return
    try:
        output.write_bytes(manifest)
    except OSError as error:
        raise Failure(f"{output} cannot be written: {error.strerror}", Exit.USAGE) from None


# --- looking --------------------------------------------------------------------------------------------------


@cli.command()
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
@in_bucket()
def versions(place: Place, limit: int) -> None:
    """List the versions that were live, newest first."""
    session = place.session()
    live = _existing(session)
    manifests = []
    gap = ""
    try:
        for manifest in islice(dag_package.versions(session, live), limit):
            manifests.append(manifest)
    except (Missing, ProtocolError) as error:
        gap = f"older versions are out of reach: {error}"
    table = _table("version", "kind", "created", "files", "source", "by")
    for m in manifests:
        kind = f"{m.kind} of {m.of}" if m.of else m.kind
        state = " (removed)" if live.removed else " (live)"
        table.add_row(
            m.version + (state if m is manifests[0] else ""),
            kind,
            m.created,
            str(len(m.files)),
            m.source[:12],
            m.publisher,
        )
    place.print([_brief(m) for m in manifests], table, *([gap] if gap else []))


@cli.command()
@click.argument("version", required=False)
@in_bucket()
def show(place: Place, version: str | None) -> None:
    """Show a version, the live one by default: its files, where it is from, who made it."""
    session = place.session()
    live = _existing(session)
    manifest = publishing.find_version(session, live, version) if version else live.manifest
    assert manifest and live.pointer
    state = "removed" if live.removed else "live" if manifest.version == live.pointer.version else "not live"
    table = _table("file", "bytes", "sha256", "version id")
    for f in manifest.files:
        table.add_row(f.path, f"{f.size:,}", f.sha256[:12], f.version_id)
    facts = [("version", f"{manifest.version} ({state})"), ("kind", manifest.kind + (f" of {manifest.of}" if manifest.of else "")),
             ("created", manifest.created), ("by", manifest.publisher), ("source", manifest.source),
             ("previous", manifest.previous.version if manifest.previous else "")]  # fmt: skip
    lines = [f"{name:<9} {value}" for name, value in facts if value]
    place.print({**_brief(manifest), "state": state, "files": [asdict(f) for f in manifest.files]}, *lines, table)


@cli.command("list")
@in_bucket(package=False)
def list_(place: Place) -> None:
    """List the packages of an environment and their live versions."""
    store = place.store()
    place.check_environment(store)
    prefix = protocol.pointers_prefix(place.environment)
    keys = store.listing(prefix)
    table = _table("package", "version", "updated", "state")
    rows = []
    for key in keys:
        name = key.removeprefix(prefix).removesuffix(".json")
        if name == protocol.MARKER:
            continue
        try:
            pointer = protocol.decode_pointer(
                store.get(key, protocol.MAX_POINTER_BYTES)[0], place.environment, protocol.check_package(name)
            )
        except ProtocolError as error:
            rows.append({"package": name, "version": None, "updated": None, "state": f"broken: {error}"})
            continue
        rows.append(
            {
                "package": name,
                "version": pointer.version,
                "updated": pointer.updated,
                "state": "removed" if pointer.removed else "live",
            }
        )
    for row in rows:
        table.add_row(*(str(v or "-") for v in row.values()))
    place.print(rows, table)


@cli.command()
@click.argument("versions", nargs=-1)
@click.option("--dags-dir", type=click.Path(path_type=Path), help="Compare this folder with the live version.")
@click.option("--patch", is_flag=True, help="Show the lines, as a unified diff.")
@in_bucket()
def diff(place: Place, versions: tuple[str, ...], dags_dir: Path | None, patch: bool) -> None:
    """Show what differs: two VERSIONS; one and the live version; a folder and the live version.

    Without any of them: drift, that is how the current objects differ from what is served.
    """
    session = place.session()
    live = _existing(session)
    if len(versions) > 2 or (versions and dags_dir):
        raise click.UsageError("give two versions at most, or --dags-dir")
    if not versions and not dags_dir:
        _print_drift(place, comparing.drift(session))
        return
    read_after: comparing.Read
    if dags_dir:
        files = _collect((), dags_dir)
        before, names = live.files, ("live", "local")
        after, read_after = (
            {p: w.sha256 for p, w in local.wanted(files).items()},
            lambda p: files[p].read_bytes() if p in files else b"",
        )
    else:
        first, second = [publishing.find_version(session, live, v) for v in versions] + [live.manifest][
            : 2 - len(versions)
        ]
        assert first and second
        before, names = first.by_path, (first.version, second.version)
        after, read_after = comparing.digests(second.by_path), comparing.reader(session, second.by_path)
    difference = comparing.compare(comparing.digests(before), after)
    lines = [f"{what:<8} {path}" for what, paths in asdict(difference).items() for path in paths] or ["no difference"]
    if patch:
        lines.append(comparing.patch(difference, comparing.reader(session, before), read_after, names))
    place.print(asdict(difference), *lines)


# --- going back -------------------------------------------------------------------------------------------------


@cli.command()
@click.option(
    "--to", help="The version; default: the one before the live one. Each further rollback goes one further back."
)
@in_bucket(dry_run=True)
def rollback(place: Place, to: str | None) -> None:
    """Make an older version's contents live, as a new version."""
    _print_outcome(place, publishing.rollback(place.session(writes=True), to), "rolled back")


@cli.command()
@click.argument("files", nargs=-1)
@in_bucket(dry_run=True)
def restore(place: Place, files: tuple[str, ...]) -> None:
    """Bring back what was deleted: a removed package, objects deleted by hand, or single FILES that left earlier."""
    _print_outcome(place, publishing.restore(place.session(writes=True), files), "restored")


@cli.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@in_bucket(dry_run=True)
def remove(place: Place, yes: bool) -> None:
    """Take a package out of Airflow. Its versions stay: `restore` brings it back."""
    session = place.session(writes=True)
    _existing(session)
    if not yes and not place.dry_run:
        question = f"Remove package {place.package} from {place.environment}? Its DAGs leave Airflow within seconds"
        if not asks():
            raise Failure("remove asks before it acts, and there is no terminal to ask on: give --yes", Exit.USAGE)
        if not click.confirm(question, err=True):
            raise Failure("not removed", Exit.INTERRUPTED)
    outcome = publishing.remove(session)
    version = outcome.manifest.version
    lines = [
        f"removed {place.package}: {version} was live, {len(outcome.deleted)} objects got delete markers"
        + _tried(place)
    ]
    lines.append(f"the way back: airflow-dag-publisher restore --package-name {place.package}")
    place.print({"package": place.package, "version": version, "removed": True, "deleted": outcome.deleted}, *lines)


@cli.command()
@in_bucket(dry_run=True)
def repair(place: Place) -> None:
    """Make the live version's objects the current ones again, after an interrupted publish or a deletion by hand."""
    outcome = publishing.repair(place.session(writes=True))
    if outcome is None:
        place.print({"package": place.package, "changed": False}, f"{place.package}: nothing to repair")
        return
    _print_outcome(place, outcome, "repaired")


@cli.command()
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
    lines = [line for finding in findings for line in _finding_lines(finding)] or ["nothing was edited by hand"]
    if place.dry_run:
        lines.append("dry run: nothing was written")
    place.print([{**vars(f), "refused": dict(f.refused)} for f in findings], *lines)
    problems = [f for f in findings if f.problem]
    if problems:
        raise Failure(
            f"{len(problems)} packages could not be looked at: {problems[0].package}: {problems[0].problem}",
            Exit.REFUSED,
        )


# --- parts ------------------------------------------------------------------------------------------------------


def _collect(dag_files: tuple[Path, ...], dags_dir: Path | None) -> dict[str, Path]:
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


def _validate(package: str, files: dict[str, Path], dag_files: tuple[Path, ...], python_version: str, others: tuple[str, ...],
              kept_ids: tuple[str, ...], parse: bool | None, **_: Any) -> Report:  # fmt: skip
    how: Parse = "auto" if parse is None else "always" if parse else "never"
    names = [relative_path(f) for f in dag_files]
    beside = {p: f for folder in {dags_folder(f) for f in dag_files} if folder for p, f in collect((), folder).items()}
    report = validate_package(package, beside | files, python_version, others, how, names, kept_ids)
    # Files that only lie beside the ones asked for make imports true; what is wrong with them is not the question.
    findings = tuple(f for f in report.findings if f.path in files or f.path not in beside)
    return dataclasses.replace(report, findings=findings)


def _refuse_invalid(
    package: str, files: dict[str, Path], done: str, no_validate: bool, options: dict[str, Any]
) -> None:
    """Raise Failure unless the package is valid, or nobody shall look."""
    if no_validate:
        err.print(
            f"WARNING: package {package} is {done} without validation: a broken DAG goes stale at once",
            style="bold red",
        )
        return
    report = _validate(package, files, **options)
    _print_report(report, err)
    if not report.ok:
        raise Failure(f"package {package} was not {done}: {len(report.errors)} errors", Exit.REFUSED)


def _print_report(report: Report, console: Console) -> None:
    for finding in report.findings:
        label = "" if finding.severity == "error" else "warning: "
        console.print(f"{finding.path}:{finding.line}: {label}{finding.code} {finding.message}", markup=False)
    console.print(
        f"{report.package}: {len(report.errors)} errors, {len(report.warnings)} warnings, {len(report.dag_ids)} DAGs; {report.note}",
        markup=False,
    )


def asks() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


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


def _existing(session: Session) -> Live:
    live = dag_package.read_live(session)
    if live.manifest is None:
        raise publishing.NothingToDo(
            f"there is no package {session.package} in environment {session.environment}: `list` shows what is there"
        )
    if live.damage:
        err.print(f"WARNING: {live.damage}; `repair` or the next publish mends it", style="bold red")
    return live


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str, int], None]]:
    """A bar for long uploads on a terminal; silent in CI's logs."""
    if total < PROGRESS_FROM_BYTES or not err.is_terminal:
        yield lambda _path, _size: None
        return
    with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=err, transient=True) as bar:
        task = bar.add_task("sending", total=total)
        yield lambda path, size: bar.update(task, advance=size, description=path[-40:])


def _brief(manifest: Manifest) -> dict[str, Any]:
    return {**{k: v for k, v in asdict(manifest).items() if k not in ("files", "previous")}, "files": len(manifest.files),
            "previous": manifest.previous.version if manifest.previous else None}  # fmt: skip


def _table(*columns: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=True, justify="right" if column in ("bytes", "files") else "left")
    return table


def _tried(place: Place) -> str:
    return " (dry run: nothing was written)" if place.dry_run else ""


def _print_outcome(place: Place, outcome: Outcome, done: str) -> None:
    m = outcome.manifest
    lines = [f"{path}: edit by hand cannot be adopted: {why}" for path, why in outcome.refused_edits.items()]
    if outcome.adopted:
        lines.append(f"edits by hand were found and kept as version {outcome.adopted}")
    if outcome.changed:
        of = f" with the contents of {m.of}" if m.of else ""
        lines.append(
            f"{done} {place.package} {m.version}{of}: {len(m.files)} files, {len(outcome.sent)} sent, {len(outcome.deleted)} deleted{_tried(place)}"
        )
    else:
        lines.append(f"{place.package} {m.version} is live already: nothing to do")
    place.print(
        {"package": m.package, "environment": m.environment, "version": m.version, "kind": m.kind, "of": m.of,
         "changed": outcome.changed, "adopted": outcome.adopted, "sent": sorted(outcome.sent), "deleted": sorted(outcome.deleted),
         "refused_edits": dict(outcome.refused_edits), "dry_run": place.dry_run},
        *lines,
    )  # fmt: skip


def _print_drift(place: Place, drift: comparing.Drift) -> None:
    hints = {
        "edited": "by hand; `adopt` makes it a version, dag-adopter does within a minute",
        "deleted": "by hand; still served: `restore` puts it back, a publish without it takes it away",
        "leftover": "of a publish that never became live; never served: the next publish or `repair` cleans up",
    }
    document = {**asdict(drift), "refused": dict(drift.refused)}
    lines = [f"{what:<8} {path}  ({hint})" for what, hint in hints.items() for path in document[what]]
    lines += [f"refused  {path}  ({why})" for path, why in drift.refused.items()]
    lines += [f"damaged  {drift.damage}  (`repair` or the next publish mends it)"] * bool(drift.damage)
    place.print(document, *(lines or ["no drift: the current objects are the live version"]))


def _finding_lines(finding: dag_adopter.Finding) -> Iterator[str]:
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


def main() -> None:
    """Run the command; nothing that a user can cause shows a traceback."""
    try:
        cli.main(standalone_mode=False, prog_name="airflow-dag-publisher")
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except (click.Abort, KeyboardInterrupt):
        click.echo("airflow-dag-publisher: interrupted; what was live still is", err=True)
        os._exit(Exit.INTERRUPTED)  # threads that send files must not hold it back
