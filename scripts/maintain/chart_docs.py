"""The README of our chart, with its table of values, made from Chart.yaml and values.yaml."""

from __future__ import annotations

import re
from typing import Any

import yaml

from scripts.pinned import ROOT

CHART = ROOT / "charts" / "airflow-platform"

README = """<!-- Generated from Chart.yaml and values.yaml by `make docs`. -->
# {name}

{description}.

It stands beside the official chart in the same namespace: `scripts/manage.sh deploy ENV` installs both, in this order,
with the layers of `values/airflow-platform`. Needs Kubernetes {kube}, no other chart, no CRD, no network to render.

| part | what it makes |
|---|---|
| `code` | one ConfigMap with dag-sync, dag-adopter and the cluster policies; Airflow's pods mount it |
| `dag-adopter` | one pod that makes versions of edits by hand (deliveries s3-bundle and s3-sync) |
| `etl-jobs` | the namespace of the pods that tasks start: quota, limits, a service account per package, rights for Airflow |
| `task-launcher` | with the Kubernetes executor: the scheduler's right to start task pods, and nobody else's |
| `network-policies` | what may reach what, for the pods of both charts |
| `dags-volume` | the ReadWriteMany claim of the delivery shared-volume |

Monitoring (`files/alerts`, `files/dashboards`, `files/statsd`, `templates/monitoring`) and backups (`templates/backup`) will have
their places beside these.

## Values
The schema is closed at every level: a misspelt key is refused.

| key | default | meaning |
|---|---|---|
{rows}
"""


def readme() -> str:
    """The chart's README."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    rows = "\n".join(f"| `{key}` | `{default}` | {about} |" for key, default, about in _values())
    return README.format(
        name=chart["name"], description=chart["description"], kube=chart["kubeVersion"].removesuffix("-0"), rows=rows
    )


def _values() -> list[tuple[str, str, str]]:
    """Key, default and comment of each value that has a comment beginning with `# --`."""
    text = (CHART / "values.yaml").read_text()
    rows: list[tuple[str, str, str]] = []
    about, trail = "", list[str]()
    for line in text.splitlines():
        comment = re.match(r" *# (-- )?(.*)", line)
        key = re.match(r"( *)([A-Za-z][\w.]*):", line)
        if comment:
            about = comment[2] if comment[1] else f"{about} {comment[2]}" if about else ""
        elif key:
            trail = [*trail[: len(key[1]) // 2], key[2]]
            if about:
                rows.append((".".join(trail), _default(yaml.safe_load(text), trail), about))
            about = ""
        else:
            about = ""
    return rows


def _default(values: Any, trail: list[str]) -> str:
    for name in trail:
        values = values[name]
    return yaml.safe_dump(values, default_flow_style=True, width=1000).strip().removesuffix("...").strip()
