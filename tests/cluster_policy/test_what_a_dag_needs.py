"""Ids that are usable as labels, owners, tags: what the publisher checks before, for those who go past it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from airflow_dag_publisher.validate import rules
from airflow_dag_publisher.validate.dags import DEFAULT_OWNER, Dag

from .conftest import FILES, Policies, dag

Parse = Callable[[Mapping[str, str]], dict[str, Any]]
FILE = "sales/dags/x.py"
LONGEST = "sales_" + "x" * 57
UNOWNED = 'EmptyOperator(task_id="one")\nEmptyOperator(task_id="two", owner="airflow")'
MAPPED = "@task\ndef f(x): ...\nf.expand(x=[1])"

GOOD = {
    "the longest id": dag(LONGEST),
    "all characters": dag("sales_A-b.c9"),
    "owner of a task": dag("sales_x", 'EmptyOperator(task_id="one", owner="us")', default_args=None),
    "owner of a mapped task": dag("sales_x", MAPPED),
    "no tasks": dag("sales_x", "pass"),
}
BAD = {
    "too long": (dag(LONGEST + "x"), "has 64 characters, 63 is the most that a Kubernetes label can hold; shorten it"),
    "not at the end": (dag("sales_x."), "is not usable as a Kubernetes label; use letters, digits, '_', '-' and '.' only"),
    "not ASCII": (dag("sales_größe"), "is not usable as a Kubernetes label"),
    "no owner": (dag("sales_x", default_args=None), "has tasks without an owner of their own"),
    "default owner": (dag("sales_x", default_args={"owner": "airflow"}), "has tasks without an owner of their own"),
    "empty owner": (dag("sales_x", default_args={"owner": ""}), "has tasks without an owner of their own"),
    "one task unowned": (dag("sales_x", UNOWNED), "add default_args={'owner': '<your team>'}"),
    "mapped task unowned": (dag("sales_x", MAPPED, default_args=None), "has tasks without an owner of their own"),
    "no task, no owner": (dag("sales_x", "pass", default_args=None), "has tasks without an owner of their own"),
    "no tags": (dag("sales_x", tags=None), "DAG 'sales_x' in sales/dags/x.py has no tags; add tags=['sales']"),
}  # fmt: skip


@pytest.mark.parametrize("case", GOOD)
def test_accepted(parse: Parse, case: str) -> None:
    assert not parse({FILE: GOOD[case]})["errors"]


@pytest.mark.parametrize("case", BAD)
def test_refused(parse: Parse, case: str) -> None:
    text, reason = BAD[case]
    result = parse({FILE: text})
    assert result["dags"] == []
    assert result["errors"][FILE].startswith("AirflowClusterPolicyViolation: ") and FILE in result["errors"][FILE]
    assert reason in result["errors"][FILE]


def test_a_listed_id_needs_an_owner_all_the_same(parse: Parse) -> None:
    assert "without an owner" in parse({FILE: dag("data_collection", default_args=None)})["errors"][FILE]


def test_publisher_and_policy_have_the_same_limits() -> None:
    text = (FILES / "airflow_local_settings.py").read_text()
    assert f"MAX_DAG_ID = {rules.MAX_DAG_ID} " in text
    assert f'DEFAULT_OWNER = "{DEFAULT_OWNER}"' in text
    assert f'_LABEL = re.compile(r"{rules._LABEL.pattern}")' in text


@pytest.mark.parametrize("dag_id", ["sales_x", "x", "salesx", LONGEST, LONGEST + "x", "sales_x.", "sales_größe"])
def test_publisher_and_policy_agree_on_an_id(parse: Parse, dag_id: str) -> None:
    published = Dag(FILE, 1, dag_id, True, frozenset({"us"}), True)
    assert bool(list(rules.check_dags("sales", [published], []))) == bool(parse({FILE: dag(dag_id)})["errors"])


def test_the_examples_are_accepted(policies: Policies) -> None:
    result = policies.ask("parse", root=str(FILES.parents[2] / "examples"))
    assert not result["errors"] and "sales_daily_report" in result["dags"] and "finance_month_end" in result["dags"]
