"""The folders in the DAGs folder: which are packages, and whether their names can be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath

import dag_protocol as protocol

from ..validate import Code, Finding
from ..validate.files import check_names, is_wanted
from ..validate.package_name import check_package_name
from ..validate.report import warning
from .contents import dag_files

Files = Mapping[str, Path]


def by_folder(files: Files) -> dict[str, dict[str, Path]]:
    """Return the files by the folder in the DAGs folder that they are in; those directly in it by the empty name."""
    folders: dict[str, dict[str, Path]] = defaultdict(dict)
    for path, file in files.items():
        folders[path.rpartition("/")[0] and path.partition("/")[0]][path] = file
    return folders


def with_dags(folders: Mapping[str, Files]) -> set[str]:
    """Return the folders with a file that Airflow parses, whatever their names; the empty name is the DAGs folder's own files."""
    own = {path: file for path, file in folders.get("", {}).items() if protocol.is_ignore_file(path)}
    return {folder for folder, files in folders.items() if dag_files({**own, **files})}


def check_every_name(folders: Mapping[str, Files]) -> Iterator[Finding]:
    """Yield names that delivery cannot take, and those that differ by case alone."""
    for files in folders.values():
        yield from check_names(path for path in files if is_wanted(PurePosixPath(path)))
    yield from check_names(f"{folder}/{protocol.IGNORE_FILE}" for folder in folders if folder and folder[0] != ".")


def check_package_names(folders: Mapping[str, Files], packages: Collection[str]) -> Iterator[Finding]:
    """Yield names of folders with DAGs that are no package's, or that are another folder's plus `_…`."""
    for package in sorted(packages):
        yield from check_package_name(package, others(folders))


def others(folders: Mapping[str, Files]) -> set[str]:
    """Return the names that the cluster policy takes for packages: also without a DAG, a folder owns the ids of its name."""
    return {folder for folder in folders if is_package_name(folder)}


def is_package_name(name: str) -> bool:
    """Whether a package may have this name."""
    try:
        return bool(protocol.check_package(name))
    except protocol.ProtocolError:
        return False


def check_loose_files(files: Files) -> Iterator[Finding]:
    """Warn of DAGs that are in no folder, so in no package."""
    for path in sorted(dag_files(files)):
        yield warning(
            path, 1, Code.NO_PACKAGE,
            "lies directly in the DAGs folder, so in no package: the platform refuses its DAGs unless "
            "policy.defaultPackage is set; move it into its package's folder",
        )  # fmt: skip
