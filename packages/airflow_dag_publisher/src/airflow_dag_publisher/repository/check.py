"""All checks on a repository: Airflow's walk, files that would end it, names, and each package."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ..validate import Code, Finding, Report
from ..validate.files import is_wanted
from .contents import check_contents, find_dag_files
from .listing import read_tree
from .packages import by_folder, check_folders, folder_of, is_package_name, others
from .report import RepositoryReport
from .tree import Broken, Outside, Tree
from .walk import walk_dags

Validate = Callable[[str, Mapping[str, Path], Collection[str], Collection[str]], Report]

# Told of every file in the DAGs folder already.
_TOLD = {Code.UNSAFE_NAME, Code.NAME_CLASH, Code.FILE_SIZE, Code.ZIP_ARCHIVE, Code.IGNORE_FILE, Code.PACKAGE_NAME}


def check_repository(folder: Path, sub_path: str = "", validate: Validate | None = None) -> RepositoryReport:
    """Check what git-sync, an image or a shared volume would deliver.

    Args:
        folder: the repository, or a folder in it.
        sub_path: the DAGs folder below `folder`, as `dags.gitSync.subPath`.
        validate: checks a package, from its name, its files by their path in its folder, those of them that Airflow parses,
            and the names of the packages beside it; without it the DAGs are left out.

    Raises:
        OSError: something cannot be read, or is not there.
    """
    sub_path = sub_path.strip("/")
    tree, inside, by_git = read_tree(folder)
    walked = walk_dags(tree, _base(tree, inside, folder, sub_path))
    files = {path: tree.top / real for path, real in walked.files.items()}
    dag_files = find_dag_files(files)
    findings = [*walked.findings, *check_contents(files), *check_folders(files, dag_files)]
    reports = list(_validated(files, dag_files, findings, validate)) if validate else []
    findings += [finding for report in reports for finding in _in_repository(report)]
    told = sorted({replace(f, path=(PurePosixPath(sub_path) / f.path).as_posix()) for f in findings})
    packages = tuple(replace(report, findings=()) for report in reports)
    return RepositoryReport(str(folder / sub_path), tuple(told), packages, _note(by_git, reports, validate))


def _base(tree: Tree, inside: str, folder: Path, sub_path: str) -> str:
    """The DAGs folder, from the top of the repository."""
    try:
        base = tree.resolve("/".join(part for part in (inside, sub_path) if part))
    except (Broken, Outside):
        base = None
    if base is None or not tree.is_folder(base):
        raise NotADirectoryError(f"{folder / sub_path} is no folder of the repository")
    return base


def _validated(
    files: Mapping[str, Path], dag_files: Collection[str], findings: Collection[Finding], validate: Validate
) -> Iterator[Report]:
    """The report of each folder with DAGs that has a package's name. Files that delivery cannot take by name are left out."""
    unsafe = {f.path for f in findings if f.code == Code.UNSAFE_NAME}
    folders = by_folder({path: file for path, file in files.items() if path not in unsafe})
    for package in sorted(filter(is_package_name, {folder_of(path) for path in dag_files})):
        below = {path.removeprefix(f"{package}/"): file for path, file in folders[package].items()}
        wanted = {path: file for path, file in below.items() if is_wanted(PurePosixPath(path))}
        parsed = {path for path in wanted if f"{package}/{path}" in dag_files}
        yield validate(package, wanted, parsed, others(folders))


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
