"""The platform's rules on DAGs: the same whether a DAG was read or parsed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from .dags import DEFAULT_OWNER, Dag
from .report import Code, Finding

MAX_DAG_ID = 63  # ids are Kubernetes labels
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")


def check_dags(package: str, dags: Iterable[Dag], kept_ids: Collection[str]) -> Iterator[Finding]:
    """Yield what is wrong with ids, owners and tags; `kept_ids` need not begin with the package's name."""
    first: dict[str, Dag] = {}
    for dag in dags:
        if dag.dag_id not in kept_ids:
            yield from _check_prefix(package, dag)
        yield from _check_id(dag)
        yield from _check_labels(package, dag)
        if not dag.complete:
            continue
        other = first.setdefault(dag.dag_id, dag)
        if other.path != dag.path:  # within a file see `check_twice`
            yield Finding(
                dag.path, dag.line, Code.DAG_ID_DUPLICATE,
                f"DAG {dag.dag_id!r} is defined in {other.path}:{other.line} too, and only one of them would run; rename one",
            )  # fmt: skip


def _check_prefix(package: str, dag: Dag) -> Iterator[Finding]:
    prefix = f"{package}_"
    if not dag.dag_id.startswith(prefix) and (dag.complete or not prefix.startswith(dag.dag_id)):
        shown = repr(dag.dag_id) if dag.complete else f"that begins with {dag.dag_id!r}"
        advice = f"name it {prefix + dag.dag_id!r}" if dag.complete else f"begin it with {prefix!r}"
        yield Finding(
            dag.path, dag.line, Code.DAG_ID_PREFIX,
            f"DAG id {shown} does not begin with {prefix!r}, so it could be another package's; {advice}",
        )  # fmt: skip


def _check_id(dag: Dag) -> Iterator[Finding]:
    if len(dag.dag_id) > MAX_DAG_ID:
        yield Finding(
            dag.path, dag.line, Code.DAG_ID_LENGTH,
            f"DAG id {dag.dag_id!r} has {len(dag.dag_id)} characters, {MAX_DAG_ID} is the most that a Kubernetes label "
            "can hold; shorten it",
        )  # fmt: skip
    if dag.complete and not _LABEL.fullmatch(dag.dag_id):
        yield Finding(
            dag.path, dag.line, Code.DAG_ID_CHARACTERS,
            f"DAG id {dag.dag_id!r} is not usable as a Kubernetes label: letters, digits, '_', '-' and '.' only, "
            "and a letter or digit at both ends",
        )  # fmt: skip


def _check_labels(package: str, dag: Dag) -> Iterator[Finding]:
    name = f"DAG {dag.dag_id!r}" if dag.complete else "the DAG"
    if dag.owners is not None and (not dag.owners or dag.owners & {"", DEFAULT_OWNER}):
        yield Finding(
            dag.path, dag.line, Code.OWNER,
            f"{name} has tasks without an owner of their own (Airflow's default is {DEFAULT_OWNER!r}); "
            'add default_args={"owner": "<your team>"}',
        )  # fmt: skip
    if dag.tagged is False:
        yield Finding(dag.path, dag.line, Code.TAGS, f'{name} has no tags; add tags=["{package}"]')
