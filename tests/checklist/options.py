"""The options of `make verify-cluster`, and what they say."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from scripts.manage.layers.environments import NAMESPACE, layer_file

DAGS = yaml.safe_load(layer_file("env/pi", "airflow-platform").read_text())["policy"]["dagIds"]

OPTIONS: dict[str, dict[str, Any]] = {
    "--context": {"metavar": "NAME", "default": "", "help": "of the KUBECONFIG; default: its current one"},
    "--namespace": {"metavar": "NAME", "default": NAMESPACE, "help": "of Airflow (default %(default)s)"},
    "--jobs-namespace": {
        "metavar": "NAME",
        "default": "etl-jobs",
        "help": "of the pods of tasks (default %(default)s)",
    },
    "--velero-namespace": {"metavar": "NAME", "default": "velero", "help": "of Velero's objects (default %(default)s)"},
    "--airflow-url": {"metavar": "URL", "default": "", "help": "of the UI; default: the host of the Ingress"},
    "--dags": {"metavar": "A,B,C", "default": ",".join(DAGS), "help": "that must be there (default %(default)s)"},
    "--load-dag": {
        "metavar": "DAG",
        "default": "historical_load_equities",
        "help": "that is unpaused and triggered (default %(default)s)",
    },
    "--indicators-dag": {
        "metavar": "DAG",
        "default": "calculate_indicators",
        "help": "that follows it (default %(default)s)",
    },
    "--config-table": {
        "metavar": "TABLE",
        "default": "financial_screener.dag_configuration",
        "help": "that it reads (default %(default)s)",
    },
    "--may-trigger": {
        "action": "store_true",
        "help": "unpause and trigger the load DAG; without it nothing is changed, neither in Kubernetes nor in Airflow",
    },
    "--wait": {
        "metavar": "SECONDS",
        "type": float,
        "default": 600.0,
        "help": "for the run that --may-trigger starts (default %(default)g)",
    },
}

EXIT_CODES = """\
exit codes:
  0  nothing failed; items may be open
  1  an item failed
  2  KUBECONFIG names no cluster, or there is no kubectl
  3  the cluster does not answer
  4  no such context, or no such option
(make itself ends with 2 whatever it was, and says the code in its last line)

environment:
  KUBECONFIG                           the cluster
  AIRFLOW_USERNAME, AIRFLOW_PASSWORD   of Airflow; default: those of the secret airflow-admin
  AIRFLOW_TOKEN                        instead of them, where people sign in elsewhere
  SSL_CERT_FILE                        authorities that Airflow's certificate is checked against
"""


@dataclass(frozen=True)
class Settings:
    """What the options say."""

    context: str
    namespace: str
    jobs_namespace: str
    velero_namespace: str
    airflow_url: str
    dags: tuple[str, ...]
    load_dag: str
    indicators_dag: str
    config_table: str
    may_trigger: bool
    wait: float


def settings(config: pytest.Config) -> Settings:
    """Of this run."""
    values = {name: config.getoption(name) for name in Settings.__dataclass_fields__}
    return Settings(**{**values, "dags": tuple(values["dags"].split(","))})


def help_text() -> str:
    """For `--help`."""
    parser = argparse.ArgumentParser(
        prog="make verify-cluster KUBECONFIG=FILE [ARGS='…'], or .venv/bin/pytest tests/checklist",
        usage="%(prog)s",
        description="The ten items of the checklist against a cluster, read-only. See docs/how-to/verify-a-cluster.md.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument("--kubeconfig", metavar="FILE", help="instead of the environment's KUBECONFIG")
    for flag, keywords in OPTIONS.items():
        parser.add_argument(flag, **keywords)
    return parser.format_help()
