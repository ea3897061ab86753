"""Which file of ours imports which.

grimp, which import-linter stands on, takes packages alone; what runs in Airflow's pods is modules in one flat folder,
as a ConfigMap is. So imports are read here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from scripts.pinned import ROOT

BASES = (ROOT, ROOT / "charts/airflow-platform/files", ROOT / "packages/airflow_dag_publisher/src")


def sources() -> list[Path]:
    """Every Python file that is ours."""
    places = [
        folder / "**/*.py" for folder in (Path("scripts"), Path("tests"), *(b.relative_to(ROOT) for b in BASES[1:]))
    ]
    return [file for place in places for file in sorted(ROOT.glob(str(place))) if not file.is_symlink()]


def file_of(module: str) -> Path | None:
    """The file of a module of ours."""
    for base in BASES:
        for file in (base / f"{module.replace('.', '/')}.py", base / module.replace(".", "/") / "__init__.py"):
            if file.exists():
                return file.resolve()  # the publisher's links to what the chart ships
    return None


def imported(file: Path) -> Iterator[Path]:
    """The files of ours that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package_of(file, node.level)
            module = ".".join(filter(None, [above, node.module]))
            names = [f"{module}.{alias.name}" for alias in node.names]
            names = [name if file_of(name) else module for name in names]
        else:
            continue
        yield from (found for name in names if (found := file_of(name)) and found != file)


def package_of(file: Path, level: int) -> str:
    """What the dots of a relative import stand for."""
    if not level:
        return ""
    [base] = [b for b in BASES[1:] if file.is_relative_to(b)] or [ROOT]
    return ".".join(file.relative_to(base).parts[:-level])


@cache
def graph() -> dict[Path, set[Path]]:
    """What each imports."""
    return {file: set(imported(file)) for file in sources()}


def reached(files: Iterable[Path]) -> set[Path]:
    """The files, what they import, what that imports, and so on."""
    found, todo = set[Path](), list(files)
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            todo += graph().get(file, set())
    return found
