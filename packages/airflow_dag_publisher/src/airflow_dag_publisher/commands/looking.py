"""Commands that look: list, versions, show, diff."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import click

import dag_package
import dag_protocol as protocol
from dag_protocol import ProtocolError
from dag_store import Missing

from .. import comparing, publishing, working_copy
from ..place import Place, existing, in_bucket
from ..printing import print_difference, print_drift, print_packages, print_version, print_versions
from ..working_copy import collected


@click.command()
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, newest first.")
@in_bucket()
def versions(place: Place, limit: int) -> None:
    """List the versions that were live, newest first."""
    session = place.session()
    live = existing(session)
    manifests = []
    gap = ""
    try:
        for manifest in islice(dag_package.versions(session, live), limit):
            manifests.append(manifest)
    except (Missing, ProtocolError) as error:
        gap = f"older versions are out of reach: {error}"
    print_versions(place, manifests, live.removed, gap)


@click.command()
@click.argument("version", required=False)
@in_bucket()
def show(place: Place, version: str | None) -> None:
    """Show a version, the live one by default: its files, where it is from, who made it."""
    session = place.session()
    live = existing(session)
    manifest = publishing.find_version(session, live, version) if version else live.manifest
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
        after, read_after = (
            {p: w.sha256 for p, w in working_copy.wanted(files).items()},
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
    lines = comparing.patch(difference, comparing.reader(session, before), read_after, names) if patch else None
    print_difference(place, difference, lines)
