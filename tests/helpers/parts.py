"""The suite in parts: how they are shared out to several processes, and what each folder took."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "tests/terraform/test_environments.py": "built",  # minutes of Terraform
    "tests/terraform/test_isolation.py": "built",
    "tests/terraform/test_roles_at_work.py": "built",
    "tests/manage/test_charts.py": "rendered",  # the official chart for every case
    "tests/policy/test_connections.py": "rendered",
    "tests/policy/test_rules.py": "rendered",
    "tests/render/test_inventory.py": "rendered",
}
"""Files, or folders of them, that are one unit, since what they need is made once for all of them."""

LONGEST = [
    "built",
    "tests/protocol/test_model.py",
    "tests/cluster/test_deploys.py",
    "tests/cluster/test_rounds.py",
    "tests/bench/test_bench.py",
    "tests/cluster/test_incident.py",
    "tests/demo/test_demo.py",
    "tests/cluster/test_checklist.py",
    "tests/ci/test_package.py",
    "rendered",
    "tests/publisher/test_killed.py",
    "tests/cluster/test_lifecycle.py",
    "tests/cluster/test_permissions.py",
    "tests/dag_sync/test_faults.py",
    "tests/airflow/test_delivery.py",
    "tests/terraform/test_recovery.py",
    "tests/publisher/test_failures.py",
    "tests/terraform/test_plan.py",
    "tests/manage/test_bucket_export.py",
    "tests/publisher/test_commands.py",
    "tests/terraform/test_rename.py",
    "tests/terraform/test_refusals.py",
    "tests/ci/test_platform.py",
    "tests/cluster/test_immutable.py",
]
"""Units of more than half a minute, in part or whole. They are begun first, so that no process is left alone with one at the end."""


def unit(nodeid: str) -> str:
    """The tests that one process runs without a break: those of a file, but for what belongs together."""
    file = nodeid.partition("::")[0]
    return next((name for start, name in TOGETHER.items() if file.startswith(start)), file)


SLOW = (
    "tests/airflow", "tests/bench", "tests/ci", "tests/cluster/", "tests/cluster_policy", "tests/demo", "tests/manage",
    "tests/store", "tests/terraform", "tests/dag_sync/test_crash", "tests/dag_sync/test_faults",
    "tests/dag_sync/test_process", "tests/publisher/test_configmap", "tests/publisher/test_failures",
    "tests/publisher/test_commands", "tests/publisher/test_killed", "tests/repository/test_bounds", "tests/repository/test_environments", "tests/validate/test_airflow3",
    "tests/validate/test_good", "tests/validate/test_parse",
)  # fmt: skip
"""What make test-quick leaves out."""


def is_slow(item: pytest.Item) -> bool:
    """Whether it starts what takes long, or waits for it."""
    return item.nodeid.startswith(SLOW)


class Units(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Gives a process that is about to have nothing left to do the next unit."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)


def longest_first(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The tests in the order in which their units are begun; what has no rank stays as it was."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    return sorted(items, key=lambda item: rank.get(unit(item.nodeid), len(rank)))


def times(reports: Iterable[Any]) -> list[str]:
    """Lines that say what each folder below tests/ took, the longest first."""
    seconds, tests = defaultdict[str, float](float), Counter[str]()
    for report in reports:
        if isinstance(report, pytest.TestReport):
            part = report.nodeid.removeprefix("tests/").partition("/")[0]
            seconds[part] += report.duration
            tests[part] += report.when == "setup"
    longest = sorted(seconds.items(), key=lambda part: -part[1])
    lines = [f"{total:8.1f} s {tests[part]:5} tests  {part}" for part, total in longest]
    return [*lines, f"{sum(seconds.values()):8.1f} s {tests.total():5} tests  together"]
