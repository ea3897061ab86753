"""How a DAG's file names the files beside it: a resolved path leads into one version's folder, which is deleted later."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .report import Code, Finding, warning
from .source import Source


def check_resolved_paths(source: Source) -> Iterator[Finding]:
    """Warn of `Path(__file__).resolve()` and its like."""
    for node in source.nodes:
        if not isinstance(node, ast.Call):
            continue
        name = source.qualified(node.func).rpartition(".")[2] or getattr(node.func, "attr", "")
        operand = node.func.value if name == "resolve" and isinstance(node.func, ast.Attribute) else None
        if name == "realpath" and node.args:
            operand = node.args[0]
        if operand is not None and any(isinstance(n, ast.Name) and n.id == "__file__" for n in ast.walk(operand)):
            yield warning(
                source.path, node.lineno, Code.RESOLVED_PATH,
                "follows the link to one version's folder, which is deleted after the next publish; "
                "write Path(__file__).parent",
            )  # fmt: skip
