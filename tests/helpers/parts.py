"""The suite in parts: how they are shared out to several processes, and what each folder took."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    "tests/terraform/test_environments.py": "built",  # minutes of Terraform, once for these three
    "tests/terraform/test_isolation.py": "built",
    "tests/terraform/test_roles_at_work.py": "built",
}
"""Files that are one unit."""

LONGEST = [
    "built",
    "tests/protocol/test_model.py",
]
"""Units that are begun first, so that no process is left alone with one at the end."""


def unit(nodeid: str, config: pytest.Config) -> str:
    """What runs in one process, so that it makes once what its tests share: a file, but for those that belong together."""
    file = nodeid.partition("::")[0]
    if file.startswith("tests/cluster/") and (config.getoption("kubeconfig") or os.environ.get("KUBECONFIG")):
        return "the cluster that was given"  # there is one, and each test wants it empty
    return TOGETHER.get(file, file)


class Units(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Gives a process that is about to have nothing left to do the next unit."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid, self.config)


def longest_first(items: Iterable[pytest.Item], config: pytest.Config) -> list[pytest.Item]:
    """The tests in the order in which their units are begun; what has no rank stays as it was."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    return sorted(items, key=lambda item: rank.get(unit(item.nodeid, config), len(rank)))


def times(reports: Iterable[Any]) -> list[str]:
    """Lines that say what each folder below tests/ took, the longest first."""
    seconds, tests = defaultdict[str, float](float), Counter[str]()
    for report in reports:
        if isinstance(report, pytest.TestReport):
            part = report.nodeid.removeprefix("tests/").partition("/")[0]
            seconds[part] += report.duration
            tests[part] += report.when == "setup"
    lines = [
        f"{total:8.1f} s {tests[part]:5} tests  {part}" for part, total in sorted(seconds.items(), key=lambda s: -s[1])
    ]
    return [*lines, f"{sum(seconds.values()):8.1f} s {tests.total():5} tests  together"]
