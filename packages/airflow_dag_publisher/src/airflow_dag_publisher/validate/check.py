"""All checks on a package, from names to the real parse, put together."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeVar

from .airflow3 import check_airflow_imports, check_arguments
from .dags import Dag, check_bound, check_twice, find_dags
from .files import dag_candidates, mentions_dags, read_files
from .imports import ImportRules, find_imports
from .package_name import check_package_name
from .parse import Limits, Parsed, airflow_version, parse_package
from .paths import check_resolved_paths
from .report import Code, Finding, Report
from .rules import check_dags
from .schedule import check_schedules
from .source import Source, check_interpreter, parse_source

Parse = Literal["auto", "never", "always"]

_UNCHECKED = "import errors, cycles and DAG ids that are computed are not known"


def validate_package(
    package: str,
    files: Mapping[str, Path],
    python_version: str = "3.12",
    other_packages: Iterable[str] = (),
    parse: Parse = "auto",
    dag_files: Collection[str] = (),
    kept_ids: Collection[str] = (),
    limits: Limits | None = None,
    inner: str = "dags",
    parsed_files: Collection[str] | None = None,
) -> Report:
    """Check a package and tell everything that is wrong with it at once.

    Args:
        package: its name.
        files: its files, by path relative to `inner` (`collect` makes this).
        python_version: Python of the Airflow image.
        other_packages: names of the packages beside it.
        parse: let the Airflow that is installed here parse the files: if there is one, never, or else it is an error.
        dag_files: those of `files` that must define a DAG.
        kept_ids: DAG ids that the environment lists by exact name, so that they may stay without the package's prefix.
        limits: what the parse may use.
        inner: the folder in the package's own that `files` are in; empty: the package's own.
        parsed_files: those of `files` that Airflow parses, where more than the package's own ignore files decide that.

    Returns:
        the report; nothing is raised, whatever the files hold.
    """
    others = frozenset(other_packages) - {package}
    airflow = None if parse == "never" else airflow_version()
    contents, findings = read_files(package, files)
    findings += [*check_package_name(package, others), *check_interpreter(package, python_version)]
    candidates = dag_candidates(contents) if parsed_files is None else contents.keys() & set(parsed_files)
    sources, refused = _read_sources(contents, python_version)
    findings += refused

    rules = ImportRules(package, contents.keys(), candidates, others, airflow is not None, inner)
    static: list[Dag] = []
    for source in sources:
        found, problems = _check_source(source, rules)
        static += found if source.path in candidates else []
        findings += problems

    readable = candidates - {f.path for f in refused}
    if any(f.code == Code.PACKAGE_NAME for f in findings):  # it names a folder and a module in the parse
        parsed = Parsed(failure="the package's name is not usable")
    else:
        parsed = _parse(package, contents, readable, airflow, parse, limits or Limits(), inner)
    if parsed.failure and parse == "always":
        findings.append(Finding(package, 1, Code.NO_PARSE, f"could not be parsed: {parsed.failure}"))
    findings += [_with_line(f, static) for f in parsed.findings if not _explained(f, findings)]

    dags = [d for d in static if d.path not in parsed.files] + [_with_line(d, static) for d in parsed.dags]
    dags.sort(key=lambda d: (d.path, d.line, d.dag_id))
    findings += check_dags(package, dags, kept_ids)
    uncertain = set() if not parsed.failure else {s.path for s in sources if _uses_own_code(s, rules.home)} & candidates
    findings += _check_dags_exist(package, contents, dag_files, dags, {f.path for f in findings} | uncertain)
    ids = {dag.dag_id: dag.path for dag in reversed(dags) if dag.complete}
    return Report(package, tuple(sorted(set(findings))), not parsed.failure, _note(parsed, airflow), ids)


def _read_sources(contents: Mapping[str, bytes], python_version: str) -> tuple[list[Source], list[Finding]]:
    results = [parse_source(p, data, python_version) for p, data in contents.items() if p.lower().endswith(".py")]
    return [r for r in results if isinstance(r, Source)], [r for r in results if isinstance(r, Finding)]


def _check_source(source: Source, rules: ImportRules) -> tuple[list[Dag], list[Finding]]:
    try:
        imports = find_imports(source.tree)
        findings = [
            *rules.check(source, imports),
            *check_airflow_imports(source.path, imports),
            *check_arguments(source),
            *check_bound(source),
            *check_twice(source),
            *check_schedules(source),
            *check_resolved_paths(source),
        ]
        return find_dags(source), findings
    except RecursionError:
        return [], [
            Finding(source.path, 1, Code.SYNTAX, "is nested too deeply to be read; make its expressions smaller")
        ]


def _parse(
    package: str,
    contents: Mapping[str, bytes],
    readable: set[str],
    airflow: str | None,
    parse: Parse,
    limits: Limits,
    inner: str,
) -> Parsed:
    if parse == "never":
        return Parsed(failure="the parse was left out")
    if airflow is None:
        return Parsed(failure="Airflow is not installed here (pip install 'airflow-dag-publisher[airflow]')")
    if not readable:
        return Parsed()
    return parse_package(package, contents, contents.keys() - readable, limits, inner)


def _note(parsed: Parsed, airflow: str | None) -> str:
    if parsed.failure:
        return f"checked statically only: {parsed.failure}; {_UNCHECKED}"
    return f"parsed by Airflow {airflow} on Python {sys.version_info[0]}.{sys.version_info[1]}"


def _explained(finding: Finding, known: Iterable[Finding]) -> bool:
    """Whether a static finding tells better what the parse stumbled over."""
    quoted = re.search(r"'[^']+'", finding.message)
    for other in (f for f in known if f.path == finding.path):
        if finding.code == Code.DEPRECATED:
            if other.line == finding.line and other.code in (Code.DEPRECATED, Code.IGNORED_ARGUMENT):
                return True
        elif other.severity == "error" and finding.code in (Code.IMPORT_ERROR, Code.CRON):
            same_name = quoted is not None and quoted[0] in other.message
            if other.line == finding.line or other.code == finding.code or same_name:
                return True
    return False


_Located = TypeVar("_Located", Dag, Finding)


def _with_line(item: _Located, static: Iterable[Dag]) -> _Located:
    """What the parse says of a DAG has no line: take it from the text, if that leaves no doubt."""
    if item.line > 1 or (isinstance(item, Finding) and item.code in (Code.PARSE_CRASH, Code.PARSE_TIMEOUT)):
        return item
    here = [s for s in static if s.path == item.path]
    dag_id = item.dag_id if isinstance(item, Dag) else ""
    lines = {s.line for s in here if s.complete and s.dag_id == dag_id} or {s.line for s in here}
    return replace(item, line=lines.pop()) if len(lines) == 1 else item


def _uses_own_code(source: Source, home: str) -> bool:
    """Whether the file imports the package's own code, which may make DAGs for it."""
    return any(name.startswith(f"{home}.") for name in source.imported.values())


def _check_dags_exist(
    package: str, contents: Mapping[str, bytes], dag_files: Collection[str], dags: list[Dag], excused: set[str]
) -> Iterator[Finding]:
    """Tell where a DAG should be and is not; `excused` are files with findings, or that reading alone cannot judge."""
    with_dags = {dag.path for dag in dags}
    missing = [path for path in dag_files if path in contents and path not in with_dags | excused]
    for path in missing:
        yield Finding(path, 1, Code.NO_DAG, f"defines no DAG; {_why_no_dag(contents[path])}")
    if not missing and not with_dags and not excused:
        yield Finding(package, 1, Code.NO_DAG, "has no file that defines a DAG; add one, or see that it is not ignored")


def _why_no_dag(data: bytes) -> str:
    if not mentions_dags(data):
        return "Airflow passes over a file that has not both 'airflow' and 'dag' in its text: add a comment with them"
    return "make one at the top level, and call the function if it is decorated with @dag"
