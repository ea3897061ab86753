"""Schedules that cannot be: checked as Airflow's SDK does, by croniter, and for a next date at all."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from croniter import CroniterBadCronError, CroniterBadDateError, croniter

from .dags import find_calls
from .report import Code, Finding
from .source import Source

CRON_TIMETABLES = ("CronTriggerTimetable", "CronDataIntervalTimetable")
NOT_CRON = frozenset({"@once", "@continuous"})


def check_schedules(source: Source) -> Iterator[Finding]:
    """Yield the cron expressions in `source` that Airflow would refuse, or that never come."""
    for line, node in _expressions(source):
        expression, complete = source.text(node)
        problem = cron_problem(expression) if complete else None
        if problem:
            yield Finding(
                source.path, line, Code.CRON,
                f"schedule {expression!r} {problem}; write five fields, minute hour day month weekday, or a preset like '@daily'",
            )  # fmt: skip


def _expressions(source: Source) -> Iterator[tuple[int, ast.expr]]:
    for call in find_calls(source):
        if schedule := call.keywords.get("schedule"):
            yield schedule.lineno, schedule
    for node in source.nodes:
        if isinstance(node, ast.Call) and source.qualified(node.func).endswith(CRON_TIMETABLES):
            for argument in [*node.args[:1], *(k.value for k in node.keywords if k.arg == "cron")]:
                yield argument.lineno, argument


def cron_problem(expression: str) -> str | None:
    """Return why Airflow cannot use the cron expression, or None."""
    if expression in NOT_CRON:
        return None
    try:
        croniter(expression).get_next()
    except CroniterBadDateError:
        return "never comes"
    except (CroniterBadCronError, ValueError, OverflowError) as error:
        # '@quarterly' too: Airflow 3's SDK hands presets to croniter, which does not know it
        hint = " (write '0 0 1 */3 *')" if expression == "@quarterly" else ""
        return f"is not a cron expression: {error}{hint}"
    return None
