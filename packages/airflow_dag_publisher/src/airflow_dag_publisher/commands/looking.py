"""Commands that look, and what they print: list, versions, show, diff, check-store."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import click

import dag_package
import dag_protocol as protocol
from dag_protocol import Content, Manifest, ProtocolError
from dag_store import Missing

from .. import comparing, store_check, working_copy
from ..airflow_runs import Runs, airflow_option, in_words, unfinished_runs
from ..console import table_of
from ..errors import Exit, Failure
from ..place import Place, existing, in_bucket
from ..rollback import find_version
from ..working_copy import collected


@click.command()
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
@airflow_option
@in_bucket()
def versions(place: Place, limit: int, airflow_url: str | None, airflow_token: str | None) -> None:
    """List the versions that were live, newest first; with --airflow-url also the runs that still need each."""
    session = place.session()
    live = existing(session)
    manifests = []
    gap = ""
    try:
        for manifest in islice(dag_package.versions(session, live), limit):
            manifests.append(manifest)
    except (Missing, ProtocolError) as error:
        gap = f"older versions are out of reach: {error}"
    runs = unfinished_runs(airflow_url, airflow_token, session.package) if airflow_url else None
    print_versions(place, manifests, live.removed, gap, _out_of_reach(session, manifests), runs)


def _out_of_reach(session: dag_package.Session, manifests: list[Manifest]) -> frozenset[str]:
    """Versions that cannot be brought back any more: bytes of theirs are gone from the bucket."""
    there = {past.version_id for past in session.store.past(session.prefix) if not past.deleted}
    return frozenset(m.version for m in manifests if any(file.version_id not in there for file in m.files))


@click.command()
@click.argument("version", required=False)
@in_bucket()
def show(place: Place, version: str | None) -> None:
    """Show a version, the live one by default: its files, where it is from, who made it."""
    session = place.session()
    live = existing(session)
    manifest = find_version(session, live, version) if version else live.manifest
    assert manifest and live.pointer
    state = "removed" if live.removed else "live" if manifest.version == live.pointer.version else "not live"
    print_version(place, manifest, state)


@click.command("list")
@in_bucket(package=False)
def list_(place: Place) -> None:
    """List the packages of an environment and their live versions."""
    store = place.store()
    place.check_environment(store)
    prefix = protocol.pointers_prefix(place.environment)
    keys = store.listing(prefix)
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
    print_packages(place, rows)


@click.command()
@click.argument("versions", nargs=-1)
@click.option("--dags-dir", type=click.Path(path_type=Path), help="Compare this folder with the live version.")
@click.option("--patch", is_flag=True, help="Show the lines, as a unified diff.")
@in_bucket()
def diff(place: Place, versions: tuple[str, ...], dags_dir: Path | None, patch: bool) -> None:
    """Show what differs: two VERSIONS; one and the live version; a folder and the live version.

    Without any of them: drift, that is how the current objects differ from what is served.
    """
    session = place.session()
    live = existing(session)
    if len(versions) > 2 or (versions and dags_dir):
        raise click.UsageError("give two versions at most, or --dags-dir")
    if not versions and not dags_dir:
        print_drift(place, comparing.drift(session))
        return
    read_after: comparing.Read
    if dags_dir:
        files = collected((), dags_dir)
        before, names = live.files, ("live", "local")
        after = {p: Content(w.sha256, w.is_executable(before.get(p))) for p, w in working_copy.wanted(files).items()}
        read_after = comparing.local_reader(files)
    else:
        first, second = [find_version(session, live, v) for v in versions] + [live.manifest][: 2 - len(versions)]
        assert first and second
        before, names = first.by_path, (first.version, second.version)
        after, read_after = comparing.contents(second.by_path), comparing.reader(session, second.by_path)
    difference = comparing.compare(comparing.contents(before), after)
    lines = comparing.patch(difference, comparing.reader(session, before), read_after, names) if patch else None
    print_difference(place, difference, lines)


@click.command("check-store")
@in_bucket(package=False)
@click.option(
    "--package-name", "of", help="Use the place of this package. Default: the environment's, for an operator."
)
def check_store(place: Place, of: str | None) -> None:
    """Try whether the bucket does what publishing needs: conditions, versions, listings that are up to date.

    Writes one small object among the manifests, which nobody reads.
    """
    protocol.check_environment(place.environment)
    prefix = protocol.manifests_prefix(place.environment, of) if of else f"manifests/{place.environment}/"
    checks = store_check.check_store(place.store(writes=True), prefix)
    table = table_of("the store must", "result")
    for check in checks:
        table.add_row(check.what, check.problem or "ok")
    place.print([asdict(check) for check in checks], table)
    if any(check.problem for check in checks):
        raise Failure(
            "this store cannot be published to, since versions would be lost; docs/reference/stores.md", Exit.BUCKET
        )


# --- what they print ------------------------------------------------------------------------------------------------


def brief(manifest: Manifest) -> dict[str, Any]:
    """A manifest without its list of files, as JSON takes it."""
    return {**{k: v for k, v in asdict(manifest).items() if k not in ("files", "previous")}, "files": len(manifest.files), "digest": manifest.digest,
            "previous": manifest.previous.version if manifest.previous else None}  # fmt: skip


def kind_of(manifest: Manifest) -> str:
    """How a version came to be."""
    return f"{manifest.kind} of {manifest.of}" if manifest.of else manifest.kind


def print_versions(
    place: Place, manifests: list[Manifest], removed: bool, gap: str, out_of_reach: frozenset[str], runs: Runs | None
) -> None:
    """A package's versions, newest first, which of them cannot be brought back, and why older ones are not among them.

    `runs`: those that need each; None: Airflow was not asked.
    """
    table = table_of(
        "version", "kind", "created", "files", "source", "by", *(["needed by"] if runs is not None else [])
    )
    for m in manifests:
        state = " (removed)" if removed else " (live)"
        name = (
            m.version + (state if m is manifests[0] else "") + (" (out of reach)" if m.version in out_of_reach else "")
        )
        needed = [in_words(runs.get(m.version, []))] if runs is not None else []
        table.add_row(name, kind_of(m), m.created, str(len(m.files)), m.source[:12], m.publisher, *needed)
    shown = {m.version for m in manifests}
    older = [
        f"needed, and not shown: {version} by {in_words(of)}"
        for version, of in (runs or {}).items()
        if version and version not in shown
    ]
    lost = [
        f"out of reach, and needed by {in_words(runs[v])}: {v}; its next task fails"
        for v in sorted(out_of_reach)
        if runs and v in runs
    ]
    documents = [
        {**brief(m), "out_of_reach": m.version in out_of_reach}
        | ({"runs": [asdict(run) for run in runs.get(m.version, [])]} if runs is not None else {})
        for m in manifests
    ]
    place.print(documents, table, *([gap] if gap else []), *older, *lost)


def print_version(place: Place, manifest: Manifest, state: str) -> None:
    """One version with its files."""
    table = table_of("file", "mode", "bytes", "sha256", "version id")
    for f in manifest.files:
        table.add_row(f.path, "0755" if f.executable else "0644", f"{f.size:,}", f.sha256[:12], f.version_id)
    facts = [("version", f"{manifest.version} ({state})"), ("kind", kind_of(manifest)), ("created", manifest.created),
             ("by", manifest.publisher), ("source", manifest.source),
             ("previous", manifest.previous.version if manifest.previous else "")]  # fmt: skip
    lines = [f"{name:<9} {value}" for name, value in facts if value]
    place.print({**brief(manifest), "state": state, "files": [asdict(f) for f in manifest.files]}, *lines, table)


def print_packages(place: Place, rows: list[dict[str, str | None]]) -> None:
    """The packages of an environment."""
    table = table_of("package", "version", "updated", "state")
    for row in rows:
        table.add_row(*(value or "-" for value in row.values()))
    place.print(rows, table)


def print_difference(place: Place, difference: comparing.Difference, patch: str | None) -> None:
    """Files that differ, and with a patch their lines."""
    lines = [f"{what.replace('_', ' '):<8} {p}" for what, paths in asdict(difference).items() for p in paths]
    lines = lines or ["no difference"]
    place.print(asdict(difference), *lines, *([patch] if patch is not None else []))


def print_drift(place: Place, drift: comparing.Drift) -> None:
    """How the current objects differ from what is served, with the way out of each."""
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
