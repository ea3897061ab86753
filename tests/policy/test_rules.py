"""Every rule over everything we deploy; and for every rule a change that it notices."""

import copy
from collections.abc import Callable

import pytest

from scripts.manage.layers.chart import archive
from tests.helpers.charts import CASES, ENVIRONMENTS, INCIDENT, Case, Refused, found_archive, template
from tests.helpers.facts import Facts
from tests.helpers.inventory import inventory
from tests.helpers.workloads import Inventory
from tests.policy.rules import RULES

BY_NAME = {str(case): case for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("name", RULES)
def test_rule(case: Case, name: str) -> None:
    found = inventory(case)
    assert len(found.workloads) >= 8, "nothing rendered: the rule would hold for nothing"
    offenders = list(RULES[name](case, found))
    assert not offenders, f"{RULES[name].__doc__}\n" + "\n".join(offenders)


def test_the_incident_is_found_by_the_names_of_the_three_pods() -> None:
    """guide 001: scheduler and dag-processor stuck in Init, `Volume is already used by pod(s) airflow-triggerer-0`."""
    offenders = list(RULES["no_claim_for_one_node_is_reached_from_two_pods"](INCIDENT, inventory(INCIDENT)))
    assert {offender.partition(":")[0] for offender in offenders} == {
        "StatefulSet/airflow-scheduler",
        "StatefulSet/airflow-triggerer",
        "Deployment/airflow-dag-processor",
    }
    assert all("claim airflow-dags is ReadWriteOnce" in offender for offender in offenders)


def test_the_same_rule_passes_over_the_shipped_pi() -> None:
    pi = ENVIRONMENTS[-1]
    assert str(pi) == "pi" and not list(RULES["no_claim_for_one_node_is_reached_from_two_pods"](pi, inventory(pi)))


@pytest.mark.skipif(archive() is None, reason="the official chart's archive is not here (make tools)")
def test_the_incident_s_short_form_is_refused_by_the_chart() -> None:
    """`RWO` is kubectl's way to print it; the schema wants the whole word."""
    with pytest.raises(Refused, match=r"(?s)accessMode.*'ReadWriteOnce', 'ReadOnlyMany', 'ReadWriteMany'"):
        template("airflow", found_archive(), INCIDENT.files, "--set", "dags.persistence.accessMode=RWO")


# --- what each rule notices -----------------------------------------------------------------------------------------------

SCHEDULER, PROCESSOR = "Deployment/airflow-scheduler", "Deployment/airflow-dag-processor"


def _container(facts: Facts, workload: str, name: str) -> Facts:
    found: Facts = facts["workloads"][workload]["containers"][name]
    return found


def _add_volume(facts: Facts, workload: str, volume: Facts, mount: str) -> None:
    facts["workloads"][workload]["volumes"].append(volume)
    next(c for c in facts["workloads"][workload]["containers"].values() if c["role"] == "main")["mounts"].append(mount)


def shared_claim(facts: Facts) -> None:
    facts.setdefault("claims", {})["team"] = {"modes": ["ReadWriteOnce"]}
    for workload in (SCHEDULER, PROCESSOR):
        _add_volume(facts, workload, {"name": "team", "persistentVolumeClaim": "team"}, "team:/data")


def surging_claim(facts: Facts) -> None:
    facts.setdefault("claims", {})["team"] = {"modes": ["ReadWriteOncePod"]}
    _add_volume(facts, "Deployment/airflow-statsd", {"name": "team", "persistentVolumeClaim": "team"}, "team:/data")


def claim_of_unknown_mode(facts: Facts) -> None:
    for workload in (SCHEDULER, PROCESSOR):
        _add_volume(facts, workload, {"name": "team", "persistentVolumeClaim": "somebody-s"}, "team:/data")


def claim_for_dags(facts: Facts) -> None:
    for volume in facts["workloads"][PROCESSOR]["volumes"]:
        if volume["name"] == "dags":
            del volume["emptyDir"]
            volume["persistentVolumeClaim"] = "airflow-dags"


def dags_in_api_server(facts: Facts) -> None:
    _add_volume(facts, "Deployment/airflow-api-server", {"name": "dags", "emptyDir": None}, "dags:/opt/airflow/dags:ro")


def no_dags_in_scheduler(facts: Facts) -> None:
    mounts = _container(facts, SCHEDULER, "scheduler")["mounts"]
    mounts[:] = [mount for mount in mounts if not mount.startswith("dags:")]


def writable_dags(facts: Facts) -> None:
    mounts = _container(facts, PROCESSOR, "dag-processor")["mounts"]
    mounts[:] = [mount.replace("/opt/airflow/dags:ro", "/opt/airflow/dags") for mount in mounts]


def dags_by_sub_path(facts: Facts) -> None:
    mounts = _container(facts, PROCESSOR, "dag-processor")["mounts"]
    mounts[:] = [mount.replace("/opt/airflow/dags:ro", "/opt/airflow/dags#sales:ro") for mount in mounts]


def dags_elsewhere(facts: Facts) -> None:
    mounts = _container(facts, PROCESSOR, "dag-processor")["mounts"]
    mounts[:] = [mount.replace("/opt/airflow/dags", "/dags") for mount in mounts]


def writable_store(facts: Facts) -> None:
    mounts = _container(facts, PROCESSOR, "dag-processor")["mounts"]
    mounts[:] = [mount.replace("/opt/airflow/dag-store:ro", "/opt/airflow/dag-store") for mount in mounts]


def no_store_in_scheduler(facts: Facts) -> None:
    mounts = _container(facts, SCHEDULER, "scheduler")["mounts"]
    mounts[:] = [mount for mount in mounts if not mount.startswith("dag-store:")]


def another_dags_folder(facts: Facts) -> None:
    facts["airflow.cfg"]["core"]["dags_folder"] = "/usr/local/airflow/dags"


def volume_twice(facts: Facts) -> None:
    facts["workloads"][SCHEDULER]["volumes"].append({"name": "dags", "emptyDir": None, "sizeLimit": "1Gi"})


def mount_of_nothing(facts: Facts) -> None:
    _container(facts, SCHEDULER, "scheduler")["mounts"].append("nothing:/x")


def mount_twice(facts: Facts) -> None:
    _container(facts, SCHEDULER, "scheduler")["mounts"].append("logs:/opt/airflow/dags")


def mount_inside_a_read_only_one(facts: Facts) -> None:
    """What the chart's own airflowLocalSettings would do to ours."""
    _container(facts, SCHEDULER, "scheduler")["mounts"].append(
        "config:/opt/airflow/config/airflow_local_settings.py#x:ro"
    )


def unlimited_folder(facts: Facts) -> None:
    facts["workloads"][SCHEDULER]["volumes"].append({"name": "scratch", "emptyDir": None})


def small_volume(facts: Facts) -> None:
    next(v for v in facts["workloads"][PROCESSOR]["volumes"] if v["name"] == "dag-store")["sizeLimit"] = "2047Mi"


def ungroomed_logs(facts: Facts) -> None:
    del facts["workloads"][SCHEDULER]["containers"]["scheduler-log-groomer"]


def of_security(change: Callable[[Facts, Facts], None]) -> Callable[[Facts], None]:
    """A change of a pod's and its container's security context."""

    def changed(facts: Facts) -> None:
        change(facts["workloads"][SCHEDULER]["security"], _container(facts, SCHEDULER, "scheduler")["security"])

    return changed


def memory_without_limit(facts: Facts) -> None:
    del _container(facts, SCHEDULER, "scheduler")["limits"]


def request_above_limit(facts: Facts) -> None:
    _container(facts, SCHEDULER, "scheduler")["requests"]["memory"] = "99Gi"


def sidecar_that_gates_nothing(facts: Facts) -> None:
    del _container(facts, SCHEDULER, "dag-sync")["probes"]["startup"]


def unprobed_scheduler(facts: Facts) -> None:
    del _container(facts, SCHEDULER, "scheduler")["probes"]["liveness"]


def shared_account(facts: Facts) -> None:
    facts["workloads"][PROCESSOR]["serviceAccount"] = "airflow-scheduler"


def default_account(facts: Facts) -> None:
    facts["workloads"]["Deployment/airflow-statsd"]["serviceAccount"] = "default"


def needless_token(facts: Facts) -> None:
    facts["serviceAccounts"]["airflow-dag-processor"]["automount"] = True


def no_role(facts: Facts) -> None:
    del facts["serviceAccounts"]["airflow-scheduler"]["eks.amazonaws.com/role-arn"]


def another_s_role(facts: Facts) -> None:
    accounts = facts["serviceAccounts"]
    accounts["airflow-dag-processor"] = accounts["airflow-scheduler"] | {"automount": False}


def made_secret(facts: Facts) -> None:
    facts.setdefault("secrets", {})["airflow-jwt-secret"] = {"keys": ["jwt-secret"], "hook": None}


def secret_of_the_chart(facts: Facts) -> None:
    _container(facts, SCHEDULER, "scheduler")["env"].append("X from secret airflow-metadata/connection")


def password_in_clear(facts: Facts) -> None:
    _container(facts, SCHEDULER, "scheduler")["env"].append("SMTP_PASSWORD=hunter2")


def connection_in_clear(facts: Facts) -> None:
    _container(facts, SCHEDULER, "scheduler")["env"].append("AIRFLOW_CONN_SLACK=slack://:token@")


def secret_in_airflow_cfg(facts: Facts) -> None:
    facts["airflow.cfg"]["api"] = {"secret_key": "x"}


def hook(facts: Facts) -> None:
    facts["workloads"]["Job/airflow-run-airflow-migrations"]["hook"] = "post-install"


def latest_image(facts: Facts) -> None:
    _container(facts, SCHEDULER, "scheduler")["image"] = "apache/airflow:latest"


def image_for_amd64(facts: Facts) -> None:
    """No pinned image is for amd64 alone, so one that nobody knows stands for it."""
    _container(facts, SCHEDULER, "scheduler")["image"] = "example.org/amd64-only:1"


def any_node(facts: Facts) -> None:
    del facts["workloads"][SCHEDULER]["nodes"]


def too_large_for_a_pi(facts: Facts) -> None:
    _container(facts, SCHEDULER, "scheduler")["requests"]["memory"] = "3100Mi"


def too_many_for_the_pis(facts: Facts) -> None:
    facts["workloads"]["Deployment/airflow-api-server"]["replicas"] = 40


def scheduler_as_statefulset(facts: Facts) -> None:
    facts["workloads"]["StatefulSet/airflow-scheduler"] = facts["workloads"].pop(SCHEDULER)


def two_processors(facts: Facts) -> None:
    facts["workloads"][PROCESSOR]["replicas"] = 2


def surging_processor(facts: Facts) -> None:
    facts["workloads"][PROCESSOR]["strategy"] = {"type": "Recreate", "rollingUpdate": {"maxSurge": "100%"}}


def regexp_ignore_files(facts: Facts) -> None:
    facts["airflow.cfg"]["core"]["dag_ignore_file_syntax"] = "regexp"


def greedy_dag(facts: Facts) -> None:
    facts["airflow.cfg"]["core"]["max_active_tasks_per_dag"] = "16"


def greedy_query(facts: Facts) -> None:
    facts["airflow.cfg"]["scheduler"]["max_tis_per_query"] = "512"


def service_links(facts: Facts) -> None:
    facts["workloads"][SCHEDULER]["serviceLinks"] = True


def no_checksum(facts: Facts) -> None:
    facts["workloads"][SCHEDULER]["checksums"].remove("airflow-platform")


def stock_image_for_tasks(facts: Facts) -> None:
    _container(facts, "Pod/task", "base")["image"] = "apache/airflow:3.2.2"


def claim_for_logs(facts: Facts) -> None:
    facts.setdefault("claims", {})["airflow-scheduler/logs"] = {
        "modes": ["ReadWriteOnce"],
        "size": "100Gi",
        "perPod": True,
    }


def no_cleanup(facts: Facts) -> None:
    del facts["workloads"]["CronJob/airflow-database-cleanup"]


def no_budget(facts: Facts) -> None:
    del facts["disruptionBudgets"]["airflow-scheduler-pdb"]


def pgbouncer_of_the_chart(facts: Facts) -> None:
    next(v for v in facts["workloads"]["Deployment/airflow-pgbouncer"]["volumes"] if v["name"] == "pgbouncer-config")[
        "secret"
    ] = "airflow-pgbouncer-config"


def postgresql_of_its_own(facts: Facts) -> None:
    env = facts["workloads"]["StatefulSet/airflow-postgresql"]["containers"]["postgresql"]["env"]
    env[:] = [variable.replace("airflow-database", "airflow-postgresql") for variable in env]


def of_container(workload: str, name: str, **changes: object) -> Callable[[Facts], None]:
    """Other facts of a container."""

    def changed(facts: Facts) -> None:
        _container(facts, workload, name).update(changes)

    return changed


def without_container(workload: str, name: str) -> Callable[[Facts], None]:
    """A container less."""

    def changed(facts: Facts) -> None:
        del facts["workloads"][workload]["containers"][name]

    return changed


def env_replaced(workload: str, name: str, old: str, new: str) -> Callable[[Facts], None]:
    """Another environment of a container."""

    def changed(facts: Facts) -> None:
        env = _container(facts, workload, name)["env"]
        assert any(old in variable for variable in env)
        env[:] = [variable.replace(old, new) for variable in env]

    return changed


def of_option(section: str, option: str, value: str) -> Callable[[Facts], None]:
    """Another setting of Airflow."""

    def changed(facts: Facts) -> None:
        facts["airflow.cfg"].setdefault(section, {})[option] = value

    return changed


def metrics_without_address(facts: Facts) -> None:
    _container(facts, SCHEDULER, "git-sync-init")["env"].append("GITSYNC_HTTP_METRICS=true")


def node_path(facts: Facts) -> None:
    facts["workloads"][SCHEDULER]["volumes"].append({"name": "node", "hostPath": None})


def pods_of_the_scheduler(facts: Facts) -> None:
    facts["roles"]["airflow-pod-launcher-role"] = ["create,list,get pods"]


def any_right(facts: Facts) -> None:
    facts["roles"]["etl-jobs/airflow-job-launcher"] = ["* *"]


def no_tls(facts: Facts) -> None:
    facts["ingress"]["hosts"] = dict.fromkeys(facts["ingress"]["hosts"])


def more_schedulers(facts: Facts) -> None:
    facts["workloads"][SCHEDULER]["replicas"] = 2


SIDECAR = "Deployment/airflow-worker", "dag-sync"
NOTICED: list[tuple[str, str, Callable[[Facts], None]]] = [
    ("no_claim_for_one_node_is_reached_from_two_pods", "dev", shared_claim),
    ("no_claim_for_one_node_is_reached_from_two_pods", "dev", surging_claim),
    ("no_claim_for_one_node_is_reached_from_two_pods", "dev", claim_of_unknown_mode),
    ("dags_have_a_claim_only_as_a_shared_volume", "dev", claim_for_dags),
    ("dags_have_a_claim_only_as_a_shared_volume", "pi", claim_for_dags),
    ("those_mount_dags_that_read_them", "dev", dags_in_api_server),
    ("those_mount_dags_that_read_them", "dev", no_dags_in_scheduler),
    ("dags_are_writable_for_who_delivers_them_only", "dev", writable_dags),
    ("dags_are_writable_for_who_delivers_them_only", "pi", writable_dags),
    ("dags_are_writable_for_who_delivers_them_only", "dev", dags_by_sub_path),
    ("dags_are_writable_for_who_delivers_them_only", "dev", writable_store),
    ("the_store_is_out_of_the_way_and_where_links_lead", "dev", no_store_in_scheduler),
    ("the_store_is_out_of_the_way_and_where_links_lead", "s3-sync-celery", env_replaced(*SIDECAR, "DAG_SYNC_ROOT=/opt/airflow/dag-store", "DAG_SYNC_ROOT=/opt/airflow/dags")),
    ("the_store_is_out_of_the_way_and_where_links_lead", "s3-sync-celery", env_replaced(*SIDECAR, "DAG_SYNC_LINK=/opt/airflow/dags", "DAG_SYNC_LINK=/opt/airflow")),
    ("dags_are_at_one_path", "dev", dags_elsewhere),
    ("dags_are_at_one_path", "dev", another_dags_folder),
    ("volumes_and_mounts_fit_together", "dev", volume_twice),
    ("volumes_and_mounts_fit_together", "dev", mount_of_nothing),
    ("volumes_and_mounts_fit_together", "dev", mount_twice),
    ("volumes_and_mounts_fit_together", "dev", mount_inside_a_read_only_one),
    ("folders_of_pods_are_limited", "dev", unlimited_folder),
    ("the_budget_of_dag_sync_is_half_of_its_volume", "dev", small_volume),
    ("logs_are_groomed_below_their_limit", "pi", ungroomed_logs),
    ("pods_keep_to_the_restricted_standard", "dev", of_security(lambda pod, _: pod.pop("runAsNonRoot"))),
    ("pods_keep_to_the_restricted_standard", "dev", of_security(lambda pod, _: pod.update(runAsUser=0))),
    ("pods_keep_to_the_restricted_standard", "dev", of_security(lambda pod, _: pod.pop("seccompProfile"))),
    ("pods_keep_to_the_restricted_standard", "dev", of_security(lambda _, own: own.pop("allowPrivilegeEscalation"))),
    ("pods_keep_to_the_restricted_standard", "dev", of_security(lambda _, own: own.pop("capabilities"))),
    ("users_are_numbers_but_on_openshift", "dev", of_security(lambda pod, _: pod.pop("runAsUser"))),
    ("users_are_numbers_but_on_openshift", "openshift-celery", of_container(*SIDECAR, security={"runAsUser": 50000})),
    ("containers_say_what_they_need", "dev", memory_without_limit),
    ("containers_say_what_they_need", "dev", request_above_limit),
    ("what_runs_is_probed", "dev", sidecar_that_gates_nothing),
    ("what_runs_is_probed", "pi", unprobed_scheduler),
    ("each_component_has_an_account_of_its_own", "dev", shared_account),
    ("each_component_has_an_account_of_its_own", "dev", default_account),
    ("each_component_has_an_account_of_its_own", "dev", needless_token),
    ("roles_come_from_the_outputs", "dev", no_role),
    ("roles_come_from_the_outputs", "dev", another_s_role),
    ("nothing_secret_is_in_clear", "dev", made_secret),
    ("nothing_secret_is_in_clear", "dev", secret_of_the_chart),
    ("nothing_secret_is_in_clear", "dev", password_in_clear),
    ("nothing_secret_is_in_clear", "dev", connection_in_clear),
    ("nothing_secret_is_in_clear", "dev", secret_in_airflow_cfg),
    ("nothing_is_a_hook", "dev", hook),
    ("images_are_pinned", "dev", latest_image),
    ("images_are_pinned", "pi", image_for_amd64),
    ("pods_of_the_pi_go_to_arm64", "pi", any_node),
    ("the_pi_cluster_carries_it", "pi", too_large_for_a_pi),
    ("the_pi_cluster_carries_it", "pi", too_many_for_the_pis),
    ("the_scheduler_is_a_deployment", "dev", scheduler_as_statefulset),
    ("the_dag_processor_is_never_two", "dev", two_processors),
    ("the_dag_processor_is_never_two", "dev", surging_processor),
    ("airflow_sees_a_change_within_seconds", "dev", regexp_ignore_files),
    ("one_dag_never_takes_all", "dev", greedy_dag),
    ("one_dag_never_takes_all", "dev", greedy_query),
    ("service_links_are_off", "dev", service_links),
    ("a_change_of_our_code_rolls_airflow", "dev", no_checksum),
    ("pods_keep_to_the_restricted_standard", "dev", of_container(SCHEDULER, "scheduler", security={"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}})),
    ("pods_keep_to_the_restricted_standard", "dev", of_container(SCHEDULER, "scheduler", security={"privileged": True})),
    ("pods_keep_to_the_restricted_standard", "dev", node_path),
    ("nothing_secret_is_in_clear", "s3-sync-celery", env_replaced("Deployment/airflow-worker", "worker", "AIRFLOW__CELERY__BROKER_URL from secret airflow-broker/connection", "AIRFLOW__CELERY__BROKER_URL=redis://:pw@airflow-redis:6379/0")),
    ("nothing_secret_is_in_clear", "dev", of_option("celery", "broker_url", "redis://:pw@redis:6379/0")),
    ("nothing_secret_is_in_clear", "dev", of_option("secrets", "backend_kwargs", '{"token": "hvs.x"}')),
    ("rights_are_named", "dev", pods_of_the_scheduler),
    ("rights_are_named", "dev", any_right),
    ("who_reads_dags_is_given_them", "s3-sync-celery", without_container(*SIDECAR)),
    ("who_reads_dags_is_given_them", "s3-sync-celery", of_container(*SIDECAR, role="init")),
    ("who_reads_dags_is_given_them", "s3-sync-celery", env_replaced(*SIDECAR, "DAG_SYNC_INTERVAL=1s", "X=1s")),
    ("who_reads_dags_is_given_them", "s3-sync-kubernetes", without_container("Pod/task", "dag-sync-init")),
    ("who_reads_dags_is_given_them", "pi", env_replaced(SCHEDULER, "git-sync", "GITSYNC_MAX_FAILURES=-1", "GITSYNC_MAX_FAILURES=0")),
    ("who_reads_dags_is_given_them", "pi", metrics_without_address),
    ("airflow_is_set_up_for_where_it_runs", "dev", of_option("logging", "remote_logging", "False")),
    ("airflow_is_set_up_for_where_it_runs", "dev", of_option("core", "default_task_retries", "0")),
    ("airflow_is_set_up_for_where_it_runs", "dev", of_option("core", "hostname_callable", "airflow.utils.net.getfqdn")),
    ("airflow_is_set_up_for_where_it_runs", "dev", of_option("api", "base_url", "http://localhost:8080")),
    ("airflow_is_set_up_for_where_it_runs", "pi", no_tls),
    ("celery_carries_what_is_started", "s3-sync-celery", more_schedulers),
    ("tasks_of_the_scheduler_outlive_its_sigterm", "pi", env_replaced(SCHEDULER, "scheduler", "DUMB_INIT_SETSID=0", "DUMB_INIT_SETSID=1")),
    ("all_of_airflow_is_one_image", "s3-sync-kubernetes", stock_image_for_tasks),
    ("claims_are_of_data_alone", "dev", claim_for_logs),
    ("what_the_chart_leaves_off_is_on", "pi", no_cleanup),
    ("what_the_chart_leaves_off_is_on", "prod", no_budget),
    ("secrets_have_names_of_our_own", "dev", secret_of_the_chart),
    ("secrets_have_names_of_our_own", "dev", pgbouncer_of_the_chart),
    ("pgbouncer_has_the_database_s_secret", "dev", pgbouncer_of_the_chart),
    ("postgresql_and_airflow_have_one_secret", "pi", postgresql_of_its_own),
]  # fmt: skip


@pytest.mark.parametrize(("name", "case", "change"), NOTICED, ids=lambda v: getattr(v, "__name__", str(v)))
def test_the_rule_notices(name: str, case: str, change: Callable[[Facts], None]) -> None:
    facts = copy.deepcopy(inventory(BY_NAME[case]).facts)
    change(facts)
    assert list(RULES[name](BY_NAME[case], Inventory(case, facts))), (
        f"{name} does not notice {change.__doc__ or change}"
    )


def test_every_rule_is_shown_to_notice_something() -> None:
    assert {name for name, _, _ in NOTICED} == set(RULES)
