"""All checks on a repository: Airflow's walk, files that would end it, names, and each package."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ..validate import Code, Finding, Report
from ..validate.files import is_wanted
from .contents import check_contents
from .listing import read_tree
from .packages import (
    by_folder,
    check_every_name,
    check_loose_files,
    check_package_names,
    is_package_name,
    others,
    with_dags,
)  # fmt: skip
from .report import RepositoryReport
from .tree import Broken, Outside, Tree
from .walk import walk_dags

Validate = Callable[[str, Mapping[str, Path], Collection[str]], Report]

# Told of every file in the DAGs folder already.
_TOLD = {Code.UNSAFE_NAME, Code.NAME_CLASH, Code.FILE_SIZE, Code.ZIP_ARCHIVE, Code.IGNORE_FILE, Code.PACKAGE_NAME}


def check_repository(folder: Path, sub_path: str = "", validate: Validate | None = None) -> RepositoryReport:
    """Check what git-sync, an image or a shared volume would deliver.

    Args:
        folder: the repository, or a folder in it.
        sub_path: the DAGs folder below `folder`, as `dags.gitSync.subPath`.
        validate: checks a package, from its name, its files by their path in its folder, and the packages beside it;
            without it the DAGs are left out.

    Raises:
        OSError: something cannot be read, or is not there.
    """
    sub_path = sub_path.strip("/")
    tree, inside, by_git = read_tree(folder)
    walked = walk_dags(tree, _base(tree, inside, folder, sub_path))
    files = {path: tree.top / real for path, real in walked.files.items()}
    folders = by_folder(files)
    parsed = with_dags(folders)
    packages = parsed - {""}
    findings = [*walked.findings, *check_contents(files), *check_every_name(folders)]
    findings += [*check_package_names(folders, packages), *check_loose_files(folders.get("", {}))]
    if not parsed:
        findings.append(Finding("", 1, Code.NO_DAG, "has no file that Airflow parses, so all DAGs would go; see that it is the right folder, and what is ignored"))
    reports = []
    for package in sorted(packages) if validate else ():
        if validate and is_package_name(package):
            refused = {f.path for f in findings if f.code == Code.UNSAFE_NAME}
            report = validate(package, _in_package(package, folders[package], refused), others(folders))
            findings += _in_repository(report)
            reports.append(replace(report, findings=()))
    told = sorted({replace(f, path=(PurePosixPath(sub_path) / f.path).as_posix()) for f in findings})
    return RepositoryReport(str(folder / sub_path), tuple(told), tuple(reports), _note(by_git, reports, validate))


def _base(tree: Tree, inside: str, folder: Path, sub_path: str) -> str:
    """The DAGs folder, from the top of the repository."""
    try:
        base = tree.resolve("/".join(part for part in (inside, sub_path) if part))
    except (Broken, Outside):
        base = None
    if base is None or not tree.is_folder(base):
        raise NotADirectoryError(f"{folder / sub_path} is no folder of the repository")
    return base


def _in_package(package: str, files: Mapping[str, Path], refused: Collection[str]) -> dict[str, Path]:
    """A package's files by their path in its folder."""
    below = {path.removeprefix(f"{package}/"): file for path, file in files.items() if path not in refused}
    return {path: file for path, file in below.items() if is_wanted(PurePosixPath(path))}


def _in_repository(report: Report) -> Iterator[Finding]:
    """What only `validate` knows of a package, by paths from the DAGs folder. No size is refused: git-sync has no limit."""
    for finding in report.findings:
        if finding.code in _TOLD:
            continue
        path = finding.path if finding.path == report.package else f"{report.package}/{finding.path}"
        severity = "warning" if finding.code == Code.PACKAGE_SIZE else finding.severity
        yield replace(finding, path=path, severity=severity)


def _note(by_git: bool, reports: Collection[Report], validate: Validate | None) -> str:
    """How it was read and parsed."""
    read = "as git has it, without what was not added to it" if by_git else "as it is on the disk"
    if validate is None:
        return f"{read}; the DAGs were left out"
    return "; ".join([read, *sorted({report.note for report in reports})])
