"""The folders in the DAGs folder: which are packages, and whether their names can be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import dag_protocol as protocol

from ..validate import Code, Finding
from ..validate.files import check_names, is_wanted
from ..validate.package_name import check_package_name
from ..validate.report import warning

Files = Mapping[str, Path]


def by_folder(files: Files) -> dict[str, dict[str, Path]]:
    """Return the files by the folder in the DAGs folder that they are in; those directly in it by the empty name."""
    folders: dict[str, dict[str, Path]] = defaultdict(dict)
    for path, file in files.items():
        folders[folder_of(path)][path] = file
    return folders


def folder_of(path: str) -> str:
    """Return the folder in the DAGs folder that a file is in; empty for one directly in it."""
    return path.partition("/")[0] if "/" in path else ""


def check_folders(files: Files, dag_files: Collection[str]) -> Iterator[Finding]:
    """Yield what is wrong with names, and with where DAGs are. `dag_files`: those of `files` that Airflow parses."""
    folders = by_folder(files)
    yield from _check_every_name(folders)
    for package in sorted({folder_of(path) for path in dag_files} - {""}):
        yield from check_package_name(package, others(folders))
    for path in sorted(path for path in dag_files if not folder_of(path)):
        yield warning(
            path, 1, Code.NO_PACKAGE,
            "lies directly in the DAGs folder, so in no package: the platform refuses its DAGs unless "
            "policy.defaultPackage is set; move it into its package's folder",
        )  # fmt: skip
    if not dag_files:
        message = "has no file that Airflow parses, so all DAGs would go; is it the right folder, and what is ignored?"
        yield Finding("", 1, Code.NO_DAG, message)


def _check_every_name(folders: Mapping[str, Files]) -> Iterator[Finding]:
    """Yield names that delivery cannot take, and those that differ by case alone."""
    for files in folders.values():
        yield from check_names(path for path in files if is_wanted(PurePosixPath(path)))
    of_each = {f"{folder}/{protocol.IGNORE_FILE}": folder for folder in folders if folder and folder[0] != "."}
    yield from (replace(f, path=of_each[f.path]) for f in check_names(of_each) if f.code == Code.NAME_CLASH)


def others(folders: Mapping[str, Files]) -> set[str]:
    """Return the names that the cluster policy takes for packages: also without a DAG, a folder owns the ids of its name."""
    return {folder for folder in folders if is_package_name(folder)}


def is_package_name(name: str) -> bool:
    """Whether a package may have this name."""
    try:
        return bool(protocol.check_package(name))
    except protocol.ProtocolError:
        return False
