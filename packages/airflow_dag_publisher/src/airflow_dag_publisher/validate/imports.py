"""Imports: only `from <package>.dags.… import …`, the standard library and the image's modules work in Airflow."""

from __future__ import annotations

import ast
import importlib.machinery
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .report import Code, Finding, warning
from .source import Source

# What Airflow's image has for sure; asked only where Airflow is not installed, so that nobody is warned of these.
IMAGE_MODULES = frozenset(
    """airflow attr attrs boto3 botocore croniter cryptography dateutil google httpx jinja2 jsonschema kubernetes
    markupsafe numpy packaging pandas pendulum psycopg2 pydantic pytz requests rich sqlalchemy structlog tenacity
    yaml""".split()  # noqa: SIM905 a list of 28 strings is no easier to read
)


@dataclass(frozen=True)
class Import:
    """One import statement.

    Args:
        line: where.
        module: the module after `from`, or after `import`.
        names: what is imported from it; empty for `import module`.
        level: dots of a relative import.
        conditional: whether it stands in a `try` or `if`, so that its author has thought of its absence.
        deferred: whether it stands in a function, which may run in another image.
    """

    line: int
    module: str
    names: tuple[str, ...]
    level: int
    conditional: bool
    deferred: bool

    def dotted(self) -> list[str]:
        """Return every full name that is imported."""
        return [f"{self.module}.{name}" for name in self.names] or [self.module]


def find_imports(tree: ast.Module) -> list[Import]:
    """Return all imports in order of lines; what only type checkers see is left out."""
    found: list[Import] = []
    waiting: list[tuple[ast.AST, bool, bool]] = [(tree, False, False)]
    while waiting:  # a loop, since deep nesting must not end in RecursionError
        node, conditional, deferred = waiting.pop()
        if isinstance(node, ast.Import):
            found += [Import(node.lineno, a.name, (), 0, conditional, deferred) for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = tuple(a.name for a in node.names)
            found.append(Import(node.lineno, node.module or "", names, node.level, conditional, deferred))
        elif isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += [(child, True, deferred) for child in node.orelse]
        else:
            conditional = conditional or isinstance(node, ast.Try | ast.TryStar | ast.If)
            deferred = deferred or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            waiting += [(child, conditional, deferred) for child in ast.iter_child_nodes(node)]
    return sorted(found, key=lambda i: (i.line, i.module))


@dataclass(frozen=True)
class ImportRules:
    """What may be imported in a package.

    Args:
        package: its name.
        files: all its paths.
        candidates: paths that Airflow parses; a relative import works in the others.
        other_packages: names of packages beside it.
        airflow_installed: whether this environment stands for the image.
        inner: the folder in the package's own that the files are in; empty: the package's own.
    """

    package: str
    files: Collection[str]
    candidates: Collection[str]
    other_packages: Collection[str]
    airflow_installed: bool
    inner: str = "dags"

    @property
    def home(self) -> str:
        """The module below which the package's own modules are."""
        return f"{self.package}.{self.inner}" if self.inner else self.package

    def check(self, source: Source, imports: list[Import]) -> Iterator[Finding]:
        """Yield the imports of `source` that do not work in Airflow."""
        for found in imports:
            if found.level:
                if source.path in self.candidates:
                    yield self._relative(source.path, found)
            elif found.module.partition(".")[0] == self.package:
                yield from self._own(source.path, found)
            else:
                yield from self._other(source.path, found)

    def _relative(self, path: str, found: Import) -> Finding:
        folder = PurePosixPath(path).parents
        base = folder[min(found.level, len(folder)) - 1]
        module = self._module(base / found.module.replace(".", "/"))
        return Finding(
            path, found.line, Code.LOCAL_IMPORT,
            f"a relative import fails in a file that Airflow parses; write 'from {module} import {', '.join(found.names)}'",
        )  # fmt: skip

    def _module(self, path: PurePosixPath) -> str:
        return ".".join([self.home, *path.parts])

    def _own(self, path: str, found: Import) -> Iterator[Finding]:
        module, home = f"{found.module}.", f"{self.home}."
        inside = module.removeprefix(home).strip(".").replace(".", "/")
        known = found.module == self.package or (module.startswith(home) and (not inside or self._exists(inside)))
        if not known and not found.conditional:
            yield Finding(
                path, found.line, Code.UNKNOWN_MODULE,
                f"{found.module} is not in this package; its modules are {self.home}.<file>",
            )  # fmt: skip

    def _exists(self, module: str) -> bool:
        return f"{module}.py" in self.files or any(file.startswith(f"{module}/") for file in self.files)

    def _other(self, path: str, found: Import) -> Iterator[Finding]:
        top, _, rest = found.module.partition(".")
        if top in sys.stdlib_module_names or is_installed(top):
            return
        if top in self.other_packages or rest.split(".")[0] == "dags" or (not rest and "dags" in found.names):
            yield Finding(
                path, found.line, Code.FOREIGN_IMPORT,
                f"{found.module} is another package's code, which may change or go at any time; "
                "copy what you need, or put it into Airflow's image",
            )  # fmt: skip
        elif (local := self._local(path, found.module)) is not None:
            yield Finding(
                path, found.line, Code.LOCAL_IMPORT,
                f"{found.module!r} is not on Airflow's path; write 'from {local} import {', '.join(found.names) or '…'}'",
            )  # fmt: skip
        elif not (found.conditional or found.deferred or top in IMAGE_MODULES):
            yield self._unknown(path, found, top)

    def _local(self, path: str, module: str) -> str | None:
        """The dotted name under which a module of this package works, if `module` was meant to be one."""
        relative = module.removeprefix("dags.").replace(".", "/")
        for file in (PurePosixPath(path).parent / relative, PurePosixPath(relative)):
            if self._exists(file.as_posix()):
                return self._module(file)
        return None

    def _unknown(self, path: str, found: Import, top: str) -> Finding:
        if self.airflow_installed:
            message = f"no module {top!r} here; if Airflow's image has it, install it here, else put it into the image"
            return Finding(path, found.line, Code.UNKNOWN_MODULE, message)
        message = f"no module {top!r} here; see that Airflow's image has it"
        return warning(path, found.line, Code.UNKNOWN_MODULE, message)


def is_installed(module: str) -> bool:
    """Whether a top-level module can be imported, not counting the current folder: Airflow does not run in it."""
    here = Path.cwd()
    path = [entry for entry in sys.path if entry and Path(entry).resolve() != here]
    try:
        return module in sys.builtin_module_names or importlib.machinery.PathFinder.find_spec(module, path) is not None
    except (ImportError, ValueError):
        return False
