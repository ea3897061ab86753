"""What Airflow 3 removed, ignores or deprecates, with what replaces it; a test holds the tables to the real Airflow."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .dags import find_calls
from .imports import Import
from .report import Code, Finding, warning
from .source import Source

DAG_ARGUMENTS = {
    "schedule_interval": "write schedule=",
    "timetable": "write schedule=",
    "concurrency": "write max_active_tasks=",
    "fail_stop": "write fail_fast=",
    "default_view": "leave it out",
    "orientation": "leave it out",
    "full_filepath": "leave it out",
}
TASK_ARGUMENTS = {
    "provide_context": "leave it out, the context is always given",
    "task_concurrency": "write max_active_tis_per_dag=",
    "xcom_push": "write do_xcom_push=",
}
SLA = "SLAs are no more: write deadline=DeadlineAlert(...) on the DAG"
IGNORED_DAG_ARGUMENTS = {"sla_miss_callback": SLA}
IGNORED_TASK_ARGUMENTS = {"sla": SLA}

# module or module.name -> replacement, as a module or module.name; the longest match counts
REMOVED_IMPORTS = {
    "airflow.contrib": "the provider's package below airflow.providers",
    "airflow.datasets": "airflow.sdk (Asset)",
    "airflow.timetables.datasets": "airflow.timetables.assets",
    "airflow.kubernetes": "airflow.providers.cncf.kubernetes or kubernetes.client.models",
    "airflow.operators.bash_operator": "airflow.providers.standard.operators.bash",
    "airflow.operators.python_operator": "airflow.providers.standard.operators.python",
    "airflow.operators.dummy": "airflow.providers.standard.operators.empty (EmptyOperator)",
    "airflow.operators.dummy_operator": "airflow.providers.standard.operators.empty (EmptyOperator)",
    "airflow.operators.email_operator": "airflow.providers.smtp.operators.smtp",
    "airflow.operators.http_operator": "airflow.providers.http.operators.http",
    "airflow.operators.branch_operator": "airflow.providers.standard.operators.branch",
    "airflow.operators.sql": "airflow.providers.common.sql.operators.sql",
    "airflow.operators.subdag": "airflow.sdk (TaskGroup)",
    "airflow.operators.subdag_operator": "airflow.sdk (TaskGroup)",
    "airflow.providers.cncf.kubernetes.operators.kubernetes_pod": "airflow.providers.cncf.kubernetes.operators.pod",
    "airflow.sensors.base_sensor_operator": "airflow.sdk (BaseSensorOperator)",
    "airflow.sensors.s3_key_sensor": "airflow.providers.amazon.aws.sensors.s3",
    "airflow.hooks.base_hook": "airflow.sdk (BaseHook)",
    "airflow.hooks.dbapi": "airflow.providers.common.sql.hooks.sql",
    "airflow.hooks.S3_hook": "airflow.providers.amazon.aws.hooks.s3",
    "airflow.models.subdag": "airflow.sdk (TaskGroup)",
    "airflow.utils.dates.days_ago": "a fixed start_date, as pendulum.datetime(2026, 1, 1)",
    "airflow.utils.decorators.apply_defaults": "nothing: operators apply defaults by themselves",
    "airflow.utils.helpers.chain": "airflow.sdk (chain)",
    "airflow.utils.helpers.cross_downstream": "airflow.sdk (cross_downstream)",
    "airflow.www": "airflow.api_fastapi",
}
DEPRECATED_IMPORTS = {
    "airflow.Dataset": "airflow.sdk (Asset)",
    "airflow.operators.bash": "airflow.providers.standard.operators.bash",
    "airflow.operators.python": "airflow.providers.standard.operators.python",
    "airflow.operators.empty": "airflow.providers.standard.operators.empty",
    "airflow.operators.trigger_dagrun": "airflow.providers.standard.operators.trigger_dagrun",
    "airflow.operators.latest_only": "airflow.providers.standard.operators.latest_only",
    "airflow.operators.weekday": "airflow.providers.standard.operators.weekday",
    "airflow.operators.datetime": "airflow.providers.standard.operators.datetime",
    "airflow.operators.generic_transfer": "airflow.providers.common.sql.operators.generic_transfer",
    "airflow.sensors.base": "airflow.sdk",
    "airflow.sensors.python": "airflow.providers.standard.sensors.python",
    "airflow.sensors.bash": "airflow.providers.standard.sensors.bash",
    "airflow.sensors.filesystem": "airflow.providers.standard.sensors.filesystem",
    "airflow.sensors.external_task": "airflow.providers.standard.sensors.external_task",
    "airflow.hooks.base": "airflow.sdk",
    "airflow.models.baseoperator": "airflow.sdk",
    "airflow.utils.task_group": "airflow.sdk",
    "airflow.utils.edgemodifier": "airflow.sdk",
    "airflow.decorators": "airflow.sdk",
}


def check_arguments(source: Source) -> Iterator[Finding]:
    """Yield arguments of DAGs and of Airflow's own operators that Airflow 3 does not know any more."""
    for made in find_calls(source):
        for name, node in made.keywords.items():
            yield from _argument(source.path, node.lineno, name, "DAG", DAG_ARGUMENTS, IGNORED_DAG_ARGUMENTS)
        arguments = source.value(made.keywords.get("default_args"))
        if isinstance(arguments, ast.Dict):  # of what is removed, Airflow takes no notice here
            for key in arguments.keys:
                if key is not None:
                    yield from _argument(
                        source.path, key.lineno, source.text(key)[0], "default_args", {}, IGNORED_TASK_ARGUMENTS
                    )
    for call in (node for node in source.nodes if isinstance(node, ast.Call)):
        if _is_operator(name := source.qualified(call.func)):
            for keyword in call.keywords:
                yield from _argument(
                    source.path, keyword.lineno, keyword.arg or "", name.rpartition(".")[2],
                    TASK_ARGUMENTS, IGNORED_TASK_ARGUMENTS,
                )  # fmt: skip


def _is_operator(name: str) -> bool:
    """Only Airflow's own: an operator of the package may give any argument a meaning."""
    return name.startswith("airflow.") and name.endswith(("Operator", "Sensor", ".task"))


def _argument(
    path: str, line: int, name: str, owner: str, removed: dict[str, str], ignored: dict[str, str]
) -> Iterator[Finding]:
    if name in removed:
        yield Finding(
            path, line, Code.REMOVED_ARGUMENT, f"argument {name!r} of {owner} is no more in Airflow 3; {removed[name]}"
        )
    elif name in ignored:
        yield warning(path, line, Code.IGNORED_ARGUMENT, f"Airflow 3 ignores {name!r} of {owner}. {ignored[name]}")


def check_airflow_imports(path: str, imports: list[Import]) -> Iterator[Finding]:
    """Yield imports that Airflow 3 removed or deprecates; those in a `try` or `if` are for several versions."""
    for found in imports:
        if found.conditional or found.level:
            continue
        for name in found.dotted():
            if (module := _longest(name, REMOVED_IMPORTS)) is not None:
                yield Finding(
                    path, found.line, Code.REMOVED_IMPORT,
                    f"{module} is no more in Airflow 3; use {REMOVED_IMPORTS[module]}",
                )  # fmt: skip
            elif (module := _longest(name, DEPRECATED_IMPORTS)) is not None:
                yield warning(
                    path, found.line, Code.DEPRECATED,
                    f"{module} is deprecated in Airflow 3; use {DEPRECATED_IMPORTS[module]}",
                )  # fmt: skip


def _longest(name: str, table: dict[str, str]) -> str | None:
    matches = [entry for entry in table if name == entry or name.startswith(f"{entry}.")]
    return max(matches, key=len, default=None)
