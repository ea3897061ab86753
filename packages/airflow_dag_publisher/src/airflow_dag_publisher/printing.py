"""What each command prints, for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Console

import dag_adopter
from dag_protocol import Manifest

from . import comparing
from .console import table_of
from .place import Place
from .publishing import Outcome
from .validate import Report


def brief(manifest: Manifest) -> dict[str, Any]:
    """A manifest without its list of files, as JSON takes it."""
    return {**{k: v for k, v in asdict(manifest).items() if k not in ("files", "previous")}, "files": len(manifest.files),
            "previous": manifest.previous.version if manifest.previous else None}  # fmt: skip


def print_versions(place: Place, manifests: list[Manifest], removed: bool, gap: str) -> None:
    """A package's versions, newest first, and why older ones are not among them."""
    table = table_of("version", "kind", "created", "files", "source", "by")
    for m in manifests:
        state = " (removed)" if removed else " (live)"
        name = m.version + (state if m is manifests[0] else "")
        table.add_row(name, kind_of(m), m.created, str(len(m.files)), m.source[:12], m.publisher)
    place.print([brief(m) for m in manifests], table, *([gap] if gap else []))


def print_version(place: Place, manifest: Manifest, state: str) -> None:
    """One version with its files."""
    table = table_of("file", "bytes", "sha256", "version id")
    for f in manifest.files:
        table.add_row(f.path, f"{f.size:,}", f.sha256[:12], f.version_id)
    facts = [("version", f"{manifest.version} ({state})"), ("kind", kind_of(manifest)), ("created", manifest.created),
             ("by", manifest.publisher), ("source", manifest.source),
             ("previous", manifest.previous.version if manifest.previous else "")]  # fmt: skip
    lines = [f"{name:<9} {value}" for name, value in facts if value]
    place.print({**brief(manifest), "state": state, "files": [asdict(f) for f in manifest.files]}, *lines, table)


def kind_of(manifest: Manifest) -> str:
    """How a version came to be."""
    return f"{manifest.kind} of {manifest.of}" if manifest.of else manifest.kind


def print_packages(place: Place, rows: list[dict[str, str | None]]) -> None:
    """The packages of an environment."""
    table = table_of("package", "version", "updated", "state")
    for row in rows:
        table.add_row(*(value or "-" for value in row.values()))
    place.print(rows, table)


def print_difference(place: Place, difference: comparing.Difference, patch: str | None) -> None:
    """Files that differ, and with a patch their lines."""
    lines = [f"{what:<8} {path}" for what, paths in asdict(difference).items() for path in paths] or ["no difference"]
    place.print(asdict(difference), *lines, *([patch] if patch is not None else []))


def print_report(report: Report, console: Console) -> None:
    """Findings, one a line as an editor takes them, and their number."""
    for finding in report.findings:
        label = "" if finding.severity == "error" else "warning: "
        console.print(f"{finding.path}:{finding.line}: {label}{finding.code} {finding.message}", markup=False)
    console.print(
        f"{report.package}: {len(report.errors)} errors, {len(report.warnings)} warnings, {len(report.dag_ids)} DAGs; {report.note}",
        markup=False,
    )


def tried(place: Place) -> str:
    """What ends the line of a result where nothing was written."""
    return " (dry run: nothing was written)" if place.dry_run else ""


def print_outcome(place: Place, outcome: Outcome, done: str) -> None:
    """What a command that makes a version did."""
    m = outcome.manifest
    lines = [f"{path}: edit by hand cannot be adopted: {why}" for path, why in outcome.refused_edits.items()]
    if outcome.adopted:
        lines.append(f"edits by hand were found and kept as version {outcome.adopted}")
    if outcome.changed:
        of = f" with the contents of {m.of}" if m.of else ""
        lines.append(
            f"{done} {place.package} {m.version}{of}: {len(m.files)} files, {len(outcome.sent)} sent, {len(outcome.deleted)} deleted{tried(place)}"
        )
    else:
        lines.append(f"{place.package} {m.version} is live already: nothing to do")
    place.print(
        {"package": m.package, "environment": m.environment, "version": m.version, "kind": m.kind, "of": m.of,
         "changed": outcome.changed, "adopted": outcome.adopted, "sent": sorted(outcome.sent), "deleted": sorted(outcome.deleted),
         "refused_edits": dict(outcome.refused_edits), "dry_run": place.dry_run},
        *lines,
    )  # fmt: skip


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
