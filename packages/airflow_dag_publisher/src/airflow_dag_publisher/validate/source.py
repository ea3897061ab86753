"""Python source: decoded, parsed for the image's Python, and its names resolved as far as text alone allows."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .report import Code, Finding, warning

MAX_TEXT = 1000  # characters of a string that are worth knowing


@dataclass(frozen=True)
class Source:
    """A parsed file.

    Args:
        path: relative to the package's DAGs folder.
        tree: its syntax.
        nodes: everything in the tree, walked once.
        imported: dotted name that each imported local name stands for, `{"DAG": "airflow.sdk.DAG"}`.
        constants: value of each module-level name that is bound once.
    """

    path: str
    tree: ast.Module
    nodes: tuple[ast.AST, ...]
    imported: dict[str, str]
    constants: dict[str, ast.expr]

    def qualified(self, node: ast.expr) -> str:
        """Return the dotted name of `node`, through imports; empty if it is not a name."""
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        return ".".join([self.imported.get(node.id, node.id), *reversed(attributes)])

    def value(self, node: ast.expr | None) -> ast.expr | None:
        """Return the expression that `node` is bound to, if it is a module-level constant; else `node`."""
        return self.constants.get(node.id, node) if isinstance(node, ast.Name) else node

    def text(self, node: ast.expr | None) -> tuple[str, bool]:
        """Return what is known of the beginning of a string expression, and whether that is all of it."""
        node = self.value(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value, True
        if isinstance(node, ast.FormattedValue) and node.format_spec is None and node.conversion == -1:
            return self.text(node.value)
        if isinstance(node, ast.JoinedStr):
            return self._joined(node.values)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return self._joined([node.left, node.right])
        return "", False

    def _joined(self, parts: list[ast.expr]) -> tuple[str, bool]:
        known = ""
        for part in parts:
            text, complete = self.text(part)
            known += text
            if not complete or len(known) > MAX_TEXT:  # a = b + b; b = c + c; … doubles without end
                return known[:MAX_TEXT], False
        return known, True


def parse_source(path: str, data: bytes, python_version: str) -> Source | Finding:
    """Parse `data` as the image's Python would.

    Args:
        path: name for findings.
        data: the file.
        python_version: Python of the image, as "3.12".

    Returns:
        the source, or the finding that tells why there is none.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Finding(path, line, Code.NOT_TEXT, f"is not UTF-8 at byte {error.start}; save it as UTF-8")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        return Finding(path, line, Code.NOT_TEXT, "has a NUL byte, so Python cannot read it; save it as plain text")
    try:
        tree = _compile(text, path, python_version)
        nodes = tuple(ast.walk(tree))
        return Source(path, tree, nodes, _imported(nodes), _constants(tree, nodes))
    except SyntaxError as error:
        hint = _older_hint(python_version)
        return Finding(path, error.lineno or 1, Code.SYNTAX, f"is not Python {python_version}: {error.msg}{hint}")
    except (RecursionError, MemoryError, ValueError) as error:
        reason = type(error).__name__
        return Finding(path, 1, Code.SYNTAX, f"cannot be compiled ({reason}); make its expressions smaller")


def _compile(text: str, path: str, python_version: str) -> ast.Module:
    target = min(_version(python_version), sys.version_info[:2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # `compile` is stricter ('return' outside function), but has no switch for an older Python.
        compile(text, path, "exec", dont_inherit=True)
        return ast.parse(text, path, feature_version=target)


def _version(python_version: str) -> tuple[int, int]:
    major, minor = python_version.split(".")[:2]
    return int(major), int(minor)


def _older_hint(python_version: str) -> str:
    if sys.version_info[:2] >= _version(python_version):
        return ""
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return f" (checked by Python {running}, which does not know all of {python_version})"


def check_interpreter(package: str, python_version: str) -> Iterator[Finding]:
    """Warn if this Python is older than the image's, and so knows less syntax."""
    if sys.version_info[:2] < _version(python_version):
        running = f"{sys.version_info[0]}.{sys.version_info[1]}"
        yield warning(
            package, 1, Code.PYTHON_VERSION,
            f"checked by Python {running}, Airflow's image has {python_version}: "
            f"newer syntax is refused here; run validate with Python {python_version}",
        )  # fmt: skip


def _imported(nodes: Iterable[ast.AST]) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{'.' * node.level}{node.module or ''}.{alias.name}"
    return names


def _constants(tree: ast.Module, nodes: Iterable[ast.AST]) -> dict[str, ast.expr]:
    """Names bound exactly once in the whole file: a second binding anywhere makes the value a guess."""
    bound: dict[str, int] = {}
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound[node.id] = bound.get(node.id, 0) + 1
        elif isinstance(node, ast.arg):
            bound[node.arg] = bound.get(node.arg, 0) + 1
    constants: dict[str, ast.expr] = {}
    for statement in tree.body:
        target = None
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
        elif isinstance(statement, ast.AnnAssign) and statement.value:
            target = statement.target
        if isinstance(target, ast.Name) and bound[target.id] == 1 and not _mentions(statement.value, target.id):  # type: ignore[attr-defined]
            constants[target.id] = statement.value  # type: ignore[attr-defined]
    return constants


def _mentions(node: ast.expr, name: str) -> bool:
    return any(isinstance(n, ast.Name) and n.id == name for n in ast.walk(node))
