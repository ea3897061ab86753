"""The facts of a case, fresh or as kept in tests/render/inventory/<case>.yaml.

The policies in tests/policy look at inventories only. With the chart archive at hand an inventory is taken from a fresh
render (and one that differs from the kept one fails); without it the kept one is read.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import yaml

from scripts.manage.layers.chart import archive
from scripts.pinned import ROOT, versions
from tests.helpers.charts import ENVIRONMENTS, KUBE_VERSION, Case, content_sha256, official, ours
from tests.helpers.facts import Facts, merge, take
from tests.helpers.workloads import Inventory

KEPT = ROOT / "tests" / "render" / "inventory"


class _Dumper(yaml.CSafeDumper):
    """Leaves on one line."""


def _short(value: Any) -> bool:
    return len(str(value)) < 150


def _mapping(dumper: Any, data: Facts) -> Any:
    return dumper.represent_mapping("tag:yaml.org,2002:map", data.items(), flow_style=_short(data))


def _sequence(dumper: Any, data: list[Any]) -> Any:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=_short(data))


_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(list, _sequence)


def dump(facts: Facts) -> str:
    """As kept. Environment variables that most containers share stand once, under `shared`."""
    lists = [tuple(c["env"]) for w in facts["workloads"].values() for c in w["containers"].values() if "env" in c]
    common = [
        v for v in dict.fromkeys(v for env in lists for v in env) if sum(v in env for env in lists) > len(lists) / 2
    ]
    compact = yaml.safe_load(yaml.safe_dump(facts, sort_keys=False))
    for workload in compact["workloads"].values():
        for container in workload["containers"].values():
            if "env" in container and set(common) <= set(container["env"]):
                container["env"] = ["$shared", *(v for v in container["env"] if v not in common)]
    return yaml.dump({"shared": common, **compact}, Dumper=_Dumper, sort_keys=False, width=160)


def kept(case: Case) -> Path:
    """Where a case's inventory is kept."""
    return KEPT / f"{case}.yaml"


def document(case: Case, facts: Facts, like: Facts) -> str:
    """The kept file: the digest of all that went in, and the facts that are not as in the environment `dev` (`like`)."""
    same = [f"workloads/{ref}" for ref, w in facts["workloads"].items() if w == like["workloads"].get(ref)]
    same += [section for section, value in facts.items() if section != "workloads" and value == like.get(section)]
    if case.name == "dev":
        same = []
    own = {key: value for key, value in facts.items() if key not in same}
    own["workloads"] = {ref: w for ref, w in facts["workloads"].items() if f"workloads/{ref}" not in same}
    head = f"# The facts of a render of the official chart. Made by `make inventory`.\n# inputs: {inputs(case)}\n"
    return head + dump({"asInDev": same, **own} if same else own)


def read(case: Case) -> Facts:
    """The facts that are kept of a case."""
    facts = load(kept(case).read_text())
    for name in facts.pop("asInDev", []):
        section, _, ref = name.partition("/")
        dev = read(ENVIRONMENTS[0])[section]
        if ref:
            facts[section][ref] = dev[ref]
        else:
            facts[section] = dev
    return facts


def inputs(case: Case) -> str:
    """Digest of all that goes into a render: what makes a kept inventory stale."""
    parts = [versions()["chart_sha256"], KUBE_VERSION, *map(content_sha256, case.files)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def official_facts(case: Case) -> Facts:
    """Of a fresh render when the archive is here, else as kept."""
    return take(official(case)) if archive() else read(case)


@functools.cache
def inventory(case: Case) -> Inventory:
    """What a case deploys, of both charts."""
    return Inventory(case.name, merge(official_facts(case), take(ours(case)) if case.layers else {}))


def load(text: str) -> Facts:
    """What `dump` wrote."""
    facts: Facts = yaml.load(text, Loader=yaml.CSafeLoader)
    common = facts.pop("shared")
    for workload in facts["workloads"].values():
        for container in workload["containers"].values():
            env = container.get("env", [])
            if env[:1] == ["$shared"]:
                container["env"] = sorted([*common, *env[1:]])
    return facts
