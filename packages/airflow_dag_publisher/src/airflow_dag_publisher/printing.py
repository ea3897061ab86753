"""Results for people and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.console import Console

import dag_adopter
from dag_protocol import Manifest

from . import comparing
from .place import Place
from .publishing import Outcome
from .validate import Report


def brief(manifest: Manifest) -> dict[str, Any]:
    """A manifest without its list of files, as JSON takes it."""
    return {**{k: v for k, v in asdict(manifest).items() if k not in ("files", "previous")}, "files": len(manifest.files),
            "previous": manifest.previous.version if manifest.previous else None}  # fmt: skip


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
