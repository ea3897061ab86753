"""What `validate-repository` says."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from ..validate import Finding, Report


@dataclass(frozen=True)
class RepositoryReport:
    """All findings on a repository.

    Args:
        folder: the DAGs folder, as it was named.
        findings: errors and warnings, in the order of files and lines; paths are relative to the repository as it was named.
        packages: the report of each package that was validated, without its findings.
        note: how the repository was read, and what was left out.
    """

    folder: str
    findings: tuple[Finding, ...]
    packages: tuple[Report, ...]
    note: str

    @property
    def errors(self) -> list[Finding]:
        """What must not be merged."""
        return [f for f in self.findings if f.severity == "error"]

    @property
    def summary(self) -> str:
        """One line."""
        dags = sum(len(report.dag_ids) for report in self.packages)
        seen = f", {len(self.packages)} packages, {dags} DAGs" if self.packages else ""
        return (
            f"{self.folder}: {len(self.errors)} errors, {len(self.findings) - len(self.errors)} warnings{seen}; "
            f"{self.note}"
        )

    def to_json(self) -> str:
        """Return the report as a JSON document: `folder`, `ok`, `note`, `packages`, `findings`."""
        packages = [
            {"package": r.package, "parsed": r.parsed, "note": r.note, "dag_ids": dict(r.dag_ids)}
            for r in self.packages
        ]
        document = {
            "folder": self.folder,
            "ok": not self.errors,
            "note": self.note,
            "packages": packages,
            "findings": [asdict(f) for f in self.findings],
        }
        return json.dumps(document, indent=2)
