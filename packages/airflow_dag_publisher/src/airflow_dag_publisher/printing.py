"""What several commands print: the findings of validation, and what became live."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from .place import Place
from .publishing import Outcome
from .validate import Finding, Report


def print_findings(findings: Iterable[Finding], console: Console) -> None:
    """Findings, one a line as an editor takes them."""
    for finding in findings:
        label = "" if finding.severity == "error" else "warning: "
        console.print(f"{finding.path}:{finding.line}: {label}{finding.code} {finding.message}", markup=False)


def print_report(report: Report, console: Console) -> None:
    """The findings on a package, and their number."""
    print_findings(report.findings, console)
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
    lines += [
        f"{version} is passed over, dag-sync would not serve it: {why}" for version, why in outcome.passed_over.items()
    ]
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
         "refused_edits": dict(outcome.refused_edits), "passed_over": outcome.passed_over, "dry_run": place.dry_run},
        *lines,
    )  # fmt: skip
