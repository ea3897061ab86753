"""The tables of what Airflow 3 removed are true of the Airflow that is installed: one Python process asks it all."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from airflow_dag_publisher.validate import airflow3, schedule

SCRIPT = r"""
import importlib, json, os, sys, warnings
from datetime import timedelta
asked = json.loads(sys.stdin.read())

def outcome(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call()
        except BaseException as error:
            return f"{type(error).__name__}: {error}"
    return " ".join(f"{w.category.__name__} {w.message}" for w in caught)

def load(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        module, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(module), attribute)

def touch(name):
    module = load(name)
    for attribute in ("BashOperator", "PythonOperator", "dag", "chain", "TaskGroup", "Label", "BaseHook", "BaseSensorOperator"):
        getattr(module, attribute, None)

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk import DAG

print(json.dumps({
    "imports": {name: outcome(lambda: load(name)) for name in asked["imports"]},
    "dag": {name: outcome(lambda: DAG("x", **{name: None})) for name in asked["dag"]},
    "dag_value": {name: outcome(lambda: DAG("x", **{name: print})) for name in asked["dag"]},
    "task": {name: outcome(lambda: PythonOperator(task_id="x", python_callable=print, **{name: timedelta(1)})) for name in asked["task"]},
    "schedule": {text: outcome(lambda: DAG("x", schedule=text, max_active_runs=1).validate()) for text in asked["schedule"]},
}))
"""

SCHEDULES = ["@once", "@continuous", "@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually", "@midnight", "@quarterly",
             "@reboot", "* * * * *", "0 0 * * MON-FRI", "0 0 L * *", "* * * * 1#2", "* * * *", "61 * * * *", "", "daily"]  # fmt: skip


def modules(text):
    """The module names in a replacement, which is a sentence."""
    return re.findall(r"airflow(?:\.\w+)+", text)


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    home = tmp_path_factory.mktemp("airflow")
    replacements = [*airflow3.REMOVED_IMPORTS.values(), *airflow3.DEPRECATED_IMPORTS.values()]
    asked = {
        "imports": [
            *airflow3.REMOVED_IMPORTS,
            *airflow3.DEPRECATED_IMPORTS,
            *(m for text in replacements for m in modules(text)),
        ],
        "dag": [
            *airflow3.DAG_ARGUMENTS,
            *airflow3.IGNORED_DAG_ARGUMENTS,
            "max_active_tasks",
            "fail_fast",
            "schedule",
            "deadline",
        ],
        "task": [*airflow3.TASK_ARGUMENTS, *airflow3.IGNORED_TASK_ARGUMENTS],
        "schedule": SCHEDULES,
    }
    env = {
        "PATH": "",
        "HOME": str(home),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/a.db",
    }
    answer = subprocess.run(
        [sys.executable, "-P", "-c", SCRIPT],
        input=json.dumps(asked),
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout.splitlines()[-1])


def test_removed_imports_are_gone(answers):
    still_there = {n: answers["imports"][n] for n in airflow3.REMOVED_IMPORTS if "Error" not in answers["imports"][n]}
    assert not still_there


def test_deprecated_imports_still_work(answers):
    gone = {n: answers["imports"][n] for n in airflow3.DEPRECATED_IMPORTS if "Error" in answers["imports"][n]}
    assert not gone


def test_what_replaces_them_exists(answers):
    """Of providers that are not installed here nothing can be asked."""
    replacements = {
        m for text in [*airflow3.REMOVED_IMPORTS.values(), *airflow3.DEPRECATED_IMPORTS.values()] for m in modules(text)
    }
    broken = {n: answers["imports"][n] for n in replacements if "Error" in answers["imports"][n]}
    assert not broken


def test_removed_arguments_are_refused(answers):
    assert {n for n in airflow3.DAG_ARGUMENTS if "unexpected keyword" not in answers["dag"][n]} == set()
    assert {n for n in airflow3.TASK_ARGUMENTS if "Invalid arguments" not in answers["task"][n]} == set()
    assert {
        n for n in ("max_active_tasks", "fail_fast", "schedule", "deadline") if "Error" in answers["dag"][n]
    } == set()


def test_ignored_arguments_are_accepted_with_a_warning(answers):
    for name in airflow3.IGNORED_DAG_ARGUMENTS:
        assert "SLA feature is removed" in answers["dag_value"][name]
    for name in airflow3.IGNORED_TASK_ARGUMENTS:
        assert "SLA feature is removed" in answers["task"][name]


@pytest.mark.parametrize("text", SCHEDULES)
def test_a_schedule_is_judged_as_airflow_does(text, answers):
    assert (schedule.cron_problem(text) is not None) == (
        "Error" in answers["schedule"][text] or "Invalid" in answers["schedule"][text]
    )
