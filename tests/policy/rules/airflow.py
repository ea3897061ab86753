"""Airflow's own settings, and the shape in which its components run."""

from __future__ import annotations

from collections.abc import Iterator

from tests.helpers.charts import Case
from tests.helpers.workloads import Inventory
from tests.policy.rules.registry import rule


@rule
def nothing_is_a_hook(case: Case, inventory: Inventory) -> Iterator[str]:
    """A post-install migration waits for pods that wait for the migration: --wait, Argo CD and Flux never end (trap 9)."""
    for ref, facts in [*inventory.facts["workloads"].items(), *inventory.facts.get("secrets", {}).items()]:
        if facts.get("hook"):
            yield f"{ref}: {facts['hook']}"


@rule
def the_scheduler_is_a_deployment(case: Case, inventory: Inventory) -> Iterator[str]:
    """`kubectl rollout restart deployment/airflow-scheduler` is in the operations guide eight times."""
    if "Deployment/airflow-scheduler" not in inventory.facts["workloads"]:
        yield "there is no Deployment/airflow-scheduler"


@rule
def the_dag_processor_is_never_two(case: Case, inventory: Inventory) -> Iterator[str]:
    """Two whose folders differ for a second mark each other's DAGs stale (airflow-delivery, section 3)."""
    processor = inventory.workload("Deployment/airflow-dag-processor")
    if processor.may_overlap or processor.facts.get("strategy") != {"type": "Recreate"}:
        yield f"{processor.replicas} replicas, strategy {processor.facts.get('strategy')}"


DELIVERY_SETTINGS = {  # docs/latency-and-cost.md has the measurements
    ("core", "dag_ignore_file_syntax"): "glob",
    ("core", "min_serialized_dag_update_interval"): "0",
    ("dag_processor", "refresh_interval"): "1",
    ("dag_processor", "bundle_refresh_check_interval"): "1",
    ("dag_processor", "file_parsing_sort_mode"): "modified_time",
    ("core", "load_examples"): "False",
    ("workers", "missing_dag_retries"): "12",
    ("workers", "missing_dag_retry_delay"): "5",
}


@rule
def airflow_sees_a_change_within_seconds(case: Case, inventory: Inventory) -> Iterator[str]:
    """The promise of five seconds is of these settings."""
    for (section, option), value in DELIVERY_SETTINGS.items():
        if inventory.option(section, option) != value:
            yield f"[{section}] {option} is {inventory.option(section, option)}, not {value}"


@rule
def one_dag_never_takes_all(case: Case, inventory: Inventory) -> Iterator[str]:
    """Concurrency fits together: a DAG below the whole, a query not above what can start."""
    figures = {
        n: int(inventory.option(s, n) or 0)
        for s, n in (("core", "parallelism"), ("core", "max_active_tasks_per_dag"), ("scheduler", "max_tis_per_query"))
    }
    if not 0 < figures["max_active_tasks_per_dag"] < figures["parallelism"]:
        yield f"one DAG may take all of it: {figures}"
    if figures["max_tis_per_query"] > figures["parallelism"]:
        yield f"a query takes more than can start: {figures}"


@rule
def what_the_chart_leaves_off_is_on(case: Case, inventory: Inventory) -> Iterator[str]:
    """Database cleanup and, in the cloud, disruption budgets are off by default (trap 22)."""
    if "CronJob/airflow-database-cleanup" not in inventory.facts["workloads"]:
        yield "no cleanup of the database"
    if case.of("platform") == "cloud":
        guarded = {b["selects"].get("component") for b in inventory.facts.get("disruptionBudgets", {}).values()}
        for component in sorted({"scheduler", "api-server", "triggerer", "pgbouncer"} - guarded):
            yield f"{component}: no disruption budget"


@rule
def pgbouncer_has_the_database_s_secret(case: Case, inventory: Inventory) -> Iterator[str]:
    """With metadataSecretName the chart's own pgbouncer.ini points at a PostgreSQL that is not there (trap 11)."""
    if case.of("platform") != "cloud":
        return
    found = inventory.workload("Deployment/airflow-pgbouncer").volumes.get("pgbouncer-config", {}).get("secret")
    if found != "airflow-database":
        yield f"pgbouncer's configuration is from {found}"


@rule
def postgresql_and_airflow_have_one_secret(case: Case, inventory: Inventory) -> Iterator[str]:
    """postgresql.auth.existingSecret does not change what Airflow connects with (trap 12): both name the same."""
    if case.of("platform") != "pi":
        return
    postgresql = inventory.workload("StatefulSet/airflow-postgresql").containers[0].facts["env"]
    if not any(
        "POSTGRES_PASSWORD from secret airflow-database/postgres-password" in variable for variable in postgresql
    ):
        yield f"PostgreSQL's password: {[v for v in postgresql if 'PASSWORD' in v]}"


@rule
def airflow_is_set_up_for_where_it_runs(case: Case, inventory: Inventory) -> Iterator[str]:
    """Logs outlive the pod in the cloud and are found while it lives; a lost node is no failed task; links lead home."""
    wanted = {
        ("core", "hostname_callable"): "pod_address.for_urls",
        ("core", "execution_api_server_url"): "http://airflow-api-server:8080/execution/",
    }
    if case.of("platform") == "cloud":
        wanted["logging", "remote_logging"] = "True"
    for (section, option), value in wanted.items():
        if inventory.option(section, option) != value:
            yield f"[{section}] {option} is {inventory.option(section, option)}, not {value}"
    if int(inventory.option("core", "default_task_retries") or 0) < 1:
        yield "[core] default_task_retries is 0"
    hosts = inventory.facts.get("ingress", {}).get("hosts", {})
    if not hosts or None in hosts.values():
        yield f"ingress without TLS: {hosts}"
    if f"https://{next(iter(hosts), '')}" != inventory.option("api", "base_url"):
        yield f"[api] base_url is {inventory.option('api', 'base_url')}, the ingress is of {list(hosts)}"
    if "Deployment/airflow-statsd" not in inventory.facts["workloads"]:
        yield "no statsd"


@rule
def celery_carries_what_is_started(case: Case, inventory: Inventory) -> Iterator[str]:
    """What the schedulers start and no worker takes is queued again twice, and fails."""
    if case.of("executor") == "celery":
        worker = inventory.workload("Deployment/airflow-worker")
        workers = inventory.facts.get("autoscalers", {}).get(worker.ref, {}).get("from", worker.replicas)
        slots = workers * int(inventory.option("celery", "worker_concurrency") or 0)
        started = inventory.workload("Deployment/airflow-scheduler").replicas * int(
            inventory.option("core", "parallelism") or 0
        )
        if slots < started:
            yield f"{started} tasks may be started, the workers take {slots}"


@rule
def tasks_of_the_scheduler_outlive_its_sigterm(case: Case, inventory: Inventory) -> Iterator[str]:
    """dumb-init would signal the tasks as well, and on_kill deletes their job pods."""
    if case.of("executor") == "local":
        env = inventory.workload("Deployment/airflow-scheduler").container("scheduler").env
        if env.get("DUMB_INIT_SETSID") != "0":
            yield f"DUMB_INIT_SETSID is {env.get('DUMB_INIT_SETSID')}"
