"""What `validate` says: findings, each with a stable code, and the report that holds them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Literal

Severity = Literal["error", "warning"]


class Code(StrEnum):
    """Every code; `docs/reference/validation.md` has an example and the way out for each."""

    # names and files
    PACKAGE_NAME = "package-name"
    UNSAFE_NAME = "unsafe-name"
    NAME_CLASH = "name-clash"
    FILE_SIZE = "file-size"
    PACKAGE_SIZE = "package-size"
    UNREADABLE = "unreadable"
    ZIP_ARCHIVE = "zip-archive"
    IGNORE_FILE = "ignore-file"
    # Python
    NOT_TEXT = "not-text"
    SYNTAX = "syntax"
    PYTHON_VERSION = "python-version"
    # DAGs
    NO_DAG = "no-dag"
    DAG_ID_PREFIX = "dag-id-prefix"
    DAG_ID_LENGTH = "dag-id-length"
    DAG_ID_CHARACTERS = "dag-id-characters"
    DAG_ID_DUPLICATE = "dag-id-duplicate"
    CRON = "cron"
    OWNER = "owner"
    TAGS = "tags"
    # Airflow 3
    REMOVED_ARGUMENT = "removed-argument"
    REMOVED_IMPORT = "removed-import"
    IGNORED_ARGUMENT = "ignored-argument"
    DEPRECATED = "deprecated"
    # imports and paths
    LOCAL_IMPORT = "local-import"
    FOREIGN_IMPORT = "foreign-import"
    UNKNOWN_MODULE = "unknown-module"
    RESOLVED_PATH = "resolved-path"
    # the parse
    IMPORT_ERROR = "import-error"
    CYCLE = "cycle"
    SERIALIZATION = "serialization"
    NEEDS_VARIABLE = "needs-variable"
    PARSE_TIMEOUT = "parse-timeout"
    PARSE_MEMORY = "parse-memory"
    PARSE_CRASH = "parse-crash"
    NO_PARSE = "no-parse"
    # a repository
    LINKED_FOLDER = "linked-folder"
    BROKEN_LINK = "broken-link"
    OUTSIDE_LINK = "outside-link"
    NO_PACKAGE = "no-package"


@dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong.

    Args:
        path: the file, relative to the package's DAGs folder; the package's name if no one file is to blame.
        line: the line; 1 too if the whole file, or package, is meant.
        code: a `Code`.
        message: what is wrong, and the way out.
        severity: an error refuses the package, a warning does not.
    """

    path: str
    line: int
    code: Code
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.code} {self.message}"


def warning(path: str, line: int, code: Code, message: str) -> Finding:
    """Make a finding that does not refuse the package; parameters as of `Finding`."""
    return Finding(path, line, code, message, "warning")


@dataclass(frozen=True)
class Report:
    """All findings on a package.

    Args:
        package: its name.
        findings: errors and warnings, in the order of files and lines.
        parsed: whether a real Airflow parsed the files.
        note: one sentence: what parsed them, or why nothing did and what was therefore not checked.
        dag_ids: path of the file that defines each DAG, as far as ids are known.
    """

    package: str
    findings: tuple[Finding, ...]
    parsed: bool
    note: str
    dag_ids: Mapping[str, str] = field(default_factory=dict)

    @property
    def errors(self) -> list[Finding]:
        """What refuses the package."""
        return [f for f in self.findings if f.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """What does not refuse the package."""
        return [f for f in self.findings if f.severity == "warning"]

    @property
    def ok(self) -> bool:
        """Whether nothing refuses the package."""
        return not self.errors

    def to_json(self) -> str:
        """Return the report as a JSON document: `package`, `ok`, `parsed`, `note`, `dag_ids`, `findings`."""
        document = {
            "package": self.package,
            "ok": self.ok,
            "parsed": self.parsed,
            "note": self.note,
            "dag_ids": dict(self.dag_ids),
            "findings": [asdict(f) for f in self.findings],
        }
        return json.dumps(document, indent=2)
