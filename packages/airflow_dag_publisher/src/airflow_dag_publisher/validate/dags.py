"""DAGs as the text of a file shows them, without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from .report import Code, Finding
from .source import Source

DAG_CLASSES = frozenset(
    {
        "airflow.DAG",
        "airflow.models.DAG",
        "airflow.models.dag.DAG",
        "airflow.sdk.DAG",
        "airflow.sdk.definitions.dag.DAG",
    }
)
DAG_DECORATORS = frozenset({"airflow.sdk.dag", "airflow.sdk.definitions.dag.dag", "airflow.decorators.dag"})

DEFAULT_OWNER = "airflow"


@dataclass(frozen=True)
class Dag:
    """What is known of one DAG, by reading or by parsing.

    Args:
        path: the file that defines it.
        line: where.
        dag_id: the id, or the beginning of it.
        complete: whether `dag_id` is all of the id.
        owners: owners of its tasks; None if that takes a parse.
        tagged: whether it has tags; None if that takes a parse.
    """

    path: str
    line: int
    dag_id: str
    complete: bool = True
    owners: frozenset[str] | None = None
    tagged: bool | None = None


@dataclass(frozen=True)
class DagCall:
    """A place where a DAG is made: `DAG(...)`, `@dag` or `@dag(...)`.

    Args:
        line: where.
        id_node: expression of the id, if one is given.
        function: name of the decorated function.
        keywords: arguments by name.
        open: whether `**arguments` may bring more.
        bound: whether anything holds the DAG: Airflow finds it in the module's names or by its `with` block.
    """

    line: int
    id_node: ast.expr | None
    function: str
    keywords: dict[str, ast.expr]
    open: bool
    bound: bool = True


def find_calls(source: Source) -> Iterator[DagCall]:
    """Yield every place in `source` where a DAG is made."""
    dropped = {id(node.value) for node in source.nodes if isinstance(node, ast.Expr)}
    called = {node.func.id for node in source.nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    for node in source.nodes:
        if isinstance(node, ast.Call) and source.qualified(node.func) in DAG_CLASSES:
            yield replace(_dag_call(node.lineno, node, ""), bound=id(node) not in dropped)
        elif (
            isinstance(node, ast.FunctionDef) and node.name in called
        ):  # a decorated function that nobody calls is no DAG
            for decorator in node.decorator_list:
                call = decorator if isinstance(decorator, ast.Call) else None
                if source.qualified(call.func if call else decorator) in DAG_DECORATORS:
                    yield _dag_call(decorator.lineno, call, node.name)


def _dag_call(line: int, call: ast.Call | None, function: str) -> DagCall:
    if call is None:
        return DagCall(line, None, function, {}, False)
    keywords = {k.arg: k.value for k in call.keywords if k.arg}
    is_open = any(k.arg is None for k in call.keywords) or any(isinstance(a, ast.Starred) for a in call.args)
    positional = call.args[0] if call.args and not isinstance(call.args[0], ast.Starred) else None
    return DagCall(line, keywords.get("dag_id", positional), function, keywords, is_open)


def find_dags(source: Source) -> list[Dag]:
    """Return the DAGs that the text of `source` shows."""
    owned = any(isinstance(node, ast.keyword) and node.arg == "owner" for node in source.nodes)
    return [_dag(source, call, owned) for call in find_calls(source) if call.bound]


def check_twice(source: Source) -> Iterator[Finding]:
    """Yield the ids that two statements of the top level define: Airflow keeps one DAG and says nothing.

    Elsewhere, two of a name may be the branches of an `if`.
    """
    tops = {n.lineno for n in source.tree.body if isinstance(n, ast.With | ast.Assign | ast.AnnAssign)}
    first: dict[str, int] = {}
    for call in sorted(find_calls(source), key=lambda call: call.line):
        dag_id, complete = _dag_id(source, call)
        if call.line in tops and complete and first.setdefault(dag_id, call.line) != call.line:
            yield Finding(
                source.path, call.line, Code.DAG_ID_DUPLICATE,
                f"DAG {dag_id!r} is defined in line {first[dag_id]} too, and only one would run; rename one",
            )  # fmt: skip


def check_bound(source: Source) -> Iterator[Finding]:
    """Yield the DAGs that are made and dropped at once."""
    for call in find_calls(source):
        if not call.bound:
            yield Finding(
                source.path, call.line, Code.NO_DAG,
                "this DAG is bound to no name, so Airflow does not find it; write 'with DAG(...):' or 'dag = DAG(...)'",
            )  # fmt: skip


def _dag(source: Source, call: DagCall, owned: bool) -> Dag:
    """`owned`: some task of the file names its owner, so that what `default_args` say is not all."""
    dag_id, complete = _dag_id(source, call)
    line = call.id_node.lineno if call.id_node else call.line
    return Dag(source.path, line, dag_id, complete, None if owned else _owners(source, call), _tagged(source, call))


def _dag_id(source: Source, call: DagCall) -> tuple[str, bool]:
    if call.id_node is None and call.function and not call.open:
        return call.function, True
    return source.text(call.id_node)


def _tagged(source: Source, call: DagCall) -> bool | None:
    if "tags" not in call.keywords:
        return None if call.open else False
    value = source.value(call.keywords["tags"])
    return bool(value.elts) if isinstance(value, ast.List | ast.Set | ast.Tuple) else None


def _owners(source: Source, call: DagCall) -> frozenset[str] | None:
    """The owner in `default_args`, or none."""
    arguments = source.value(call.keywords.get("default_args"))
    if arguments is None:
        return None if call.open else frozenset()
    if not isinstance(arguments, ast.Dict) or None in arguments.keys:
        return None
    for key, value in zip(arguments.keys, arguments.values, strict=True):
        if source.text(key) == ("owner", True):
            owner, complete = source.text(value)
            return frozenset({owner}) if complete else None
    return frozenset()
