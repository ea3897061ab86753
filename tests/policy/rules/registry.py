"""What a rule is: it takes an inventory and names who breaks it, its reason in the docstring."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tests.helpers.charts import Case
from tests.helpers.workloads import Inventory

GI = 1024**3

Rule = Callable[[Case, Inventory], Iterator[str]]
RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    """Hold it over every case."""
    RULES[function.__name__] = function
    return function


def quantity(text: str | int) -> float:
    """A Kubernetes quantity as a number: `500m` is 0.5, `1Gi` is 1073741824."""
    units = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "Ki": 1024, "Mi": 1024**2, "Gi": GI, "Ti": 1024**4}
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text)).groups()  # type: ignore[union-attr]
    return float(number) * (units[unit] if unit else 1)
