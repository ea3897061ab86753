"""The rules that everything we deploy keeps: each takes an inventory and names who breaks it.

One rule a function, its reason in the docstring. test_rules.py holds them over every case, and shows for each a change
that it notices.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator

import yaml

from scripts.layers.environments import ROOT
from tests.helpers.charts import Case
from tests.helpers.inventory import Container, Inventory, Workload

DAGS = "/opt/airflow/dags"
LONG_RUNNING = ("Deployment/", "StatefulSet/")
DELIVERERS = ("dag-sync", "dag-sync-init", "git-sync", "git-sync-init")  # containers that write DAGs
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


# --- volumes ------------------------------------------------------------------------------------------------------------


@rule
def no_claim_for_one_node_is_reached_from_two_pods(case: Case, inventory: Inventory) -> Iterator[str]:
    """Two nodes cannot attach one ReadWriteOnce volume: the Multi-Attach incident, and its cousins in a rollout."""
    users: dict[str, list[Workload]] = defaultdict(list)
    for workload in inventory.workloads:
        for claim in workload.claims().values():
            users[claim].append(workload)
    for claim, workloads in users.items():
        modes = inventory.facts.get("claims", {}).get(claim, {}).get("modes")
        if modes is not None and "ReadWriteMany" in modes:
            continue
        said = "ReadWriteOnce" if modes else "of a mode that nobody here can see"
        for workload in workloads:
            if len(workloads) > 1:
                others = ", ".join(other.ref for other in workloads if other != workload)
                yield f"{workload.ref}: claim {claim} is {said} and also mounted by {others}"
            elif workload.may_overlap:
                yield f"{workload.ref}: claim {claim} is {said} and a rollout has two pods of it at once"


@rule
def dags_have_a_claim_only_as_a_shared_volume(case: Case, inventory: Inventory) -> Iterator[str]:
    """git-sync and S3 need a folder per pod, and nothing else."""
    wanted = case.of("delivery") == "shared-volume"
    for workload in inventory.workloads:
        for container in workload.containers:
            for mount in container.mounts:
                claim = workload.claims().get(mount.volume)
                if mount.path.startswith(DAGS) and bool(claim) != wanted:
                    yield f"{workload.ref}/{container.name}: {mount.path} is from {claim or 'a folder of the pod'}"


def readers(case: Case) -> set[str]:
    """Components that read DAGs: who parses them, and who runs tasks."""
    runs = {"local": "scheduler", "celery": "worker", "kubernetes": "worker"}[case.of("executor")]
    # The chart mounts git-sync's folder in the triggerer too; Airflow 3 does not read it there.
    return {"dag-processor", runs} | ({"triggerer"} if case.of("delivery") == "git-sync" else set())


@rule
def those_mount_dags_that_read_them(case: Case, inventory: Inventory) -> Iterator[str]:
    """A pod that mounts them for nothing costs a copy; one that misses them fails its tasks."""
    if case.of("delivery") == "image":
        wanted: set[str] = set()
    else:
        wanted = readers(case)
    volume = "dag-bundles" if case.of("delivery") in ("dag-bundle", "git-bundle") else "dags"
    # The first one does the work; the log groomer beside it gets the mounts as well (trap 2).
    workers = {w.component: next(c for c in w.containers if c.role == "main") for w in inventory.workloads}
    found = {component for component, c in workers.items() if volume in {mount.volume for mount in c.mounts}}
    for component in sorted(wanted ^ found):
        yield f"{component}: {'mounts DAGs and reads none' if component in found else 'reads DAGs and mounts none'}"


@rule
def dags_are_writable_for_who_delivers_them_only(case: Case, inventory: Inventory) -> Iterator[str]:
    """A writable __pycache__, or a task that edits a file, poisons the others; a subPath never sees a flip."""
    for workload, container in inventory.containers():
        for mount in container.mounts:
            if mount.volume == "dags" and not mount.read_only and container.name not in DELIVERERS:
                yield f"{workload.ref}/{container.name}: {mount.path} is writable"
            if mount.volume == "dags" and mount.sub_path:
                yield f"{workload.ref}/{container.name}: {mount.path} is a subPath"


@rule
def dags_are_at_one_path(case: Case, inventory: Inventory) -> Iterator[str]:
    """A DAG's file location is part of its identity."""
    paths = {
        m.path
        for _, c in inventory.containers()
        for m in c.mounts
        if m.volume in ("dags", "dag-bundles") and c.name not in DELIVERERS
    }
    if len(paths) > 1:
        yield f"DAGs are mounted at {sorted(paths)}"
    folder = inventory.option("core", "dags_folder") or ""
    if (
        paths
        and not case.of("delivery").endswith("-bundle")
        and not any(p.startswith(folder) or folder.startswith(p) for p in paths)
    ):
        yield f"[core] dags_folder is {folder}, and DAGs are mounted at {sorted(paths)}"


@rule
def volumes_and_mounts_fit_together(case: Case, inventory: Inventory) -> Iterator[str]:
    """`helm template` renders all of these; the API server, or the kubelet, refuses them (trap 1)."""
    for workload in inventory.workloads:
        for name in workload.duplicate_volumes:
            yield f"{workload.ref}: volume {name} is there twice"
        for name in workload.facts.get("duplicates", []):
            yield f"{workload.ref}: container {name} is there twice"
        made = {v["name"] for v in workload.facts.get("volumes", [])} | _templated(inventory, workload)
        for container in workload.containers:
            paths = [mount.path for mount in container.mounts]
            for mount in container.mounts:
                where = f"{workload.ref}/{container.name}: {mount.path}"
                if mount.volume not in made:
                    yield f"{where} mounts {mount.volume}, which is no volume of the pod"
                if paths.count(mount.path) > 1:
                    yield f"{where} is mounted twice"
                if any(other.read_only and mount.path.startswith(f"{other.path}/") for other in container.mounts):
                    yield f"{where} is inside another mount that is read-only: the container cannot start"


def _templated(inventory: Inventory, workload: Workload) -> set[str]:
    """Volumes that each pod of a StatefulSet gets for itself."""
    name = workload.ref.partition("/")[2]
    return {c.removeprefix(f"{name}/") for c in inventory.facts.get("claims", {}) if c.startswith(f"{name}/")}


@rule
def folders_of_pods_are_limited(case: Case, inventory: Inventory) -> Iterator[str]:
    """One pod's files must not fill a node's disk (a Pi's SD card) for all others."""
    for workload in inventory.workloads:
        for volume in workload.volumes.values():
            if "emptyDir" in volume and not volume.get("sizeLimit"):
                yield f"{workload.ref}: emptyDir {volume['name']} has no sizeLimit"


@rule
def the_budget_of_dag_sync_is_half_of_its_volume(case: Case, inventory: Inventory) -> Iterator[str]:
    """A pod over the limit is evicted; over the budget a version is only refused (protocol-review B7)."""
    for workload, container in inventory.containers():
        budget = container.env.get("DAG_SYNC_MAX_BYTES")
        if container.name.startswith("dag-sync"):
            limit = workload.volumes["dags"].get("sizeLimit", 0)
            if not budget or 2 * int(budget) > quantity(limit):
                yield f"{workload.ref}/{container.name}: may keep {budget} bytes on a volume of {limit}"


@rule
def logs_are_groomed_below_their_limit(case: Case, inventory: Inventory) -> Iterator[str]:
    """No claim for logs; a folder, groomed before the pod is evicted for it. Tasks' pods end before they need it."""
    for workload in inventory.workloads:
        for container in workload.containers:
            if (
                container.role != "main"
                or not any(m.volume == "logs" for m in container.mounts)
                or workload.ref == "Pod/task"
            ):
                continue
            limit = quantity(workload.volumes.get("logs", {}).get("sizeLimit", 0))
            kept = [
                int(c.env.get("AIRFLOW__LOG_MAX_SIZE_BYTES", 0))
                for c in workload.containers
                if c.name.endswith("log-groomer")
            ]
            if not kept or not 0 < kept[0] < limit / 2:
                yield f"{workload.ref}/{container.name}: logs of {limit:.0f} bytes, groomed at {kept or 'never'}"


# --- pods ---------------------------------------------------------------------------------------------------------------


@rule
def pods_keep_to_the_restricted_standard(case: Case, inventory: Inventory) -> Iterator[str]:
    """Pod Security `restricted`: what the namespace may enforce."""
    for workload, container in inventory.containers():
        pod, own = workload.facts.get("security", {}), container.facts.get("security", {})
        where = f"{workload.ref}/{container.name}"
        if not own.get("runAsNonRoot", pod.get("runAsNonRoot")):
            yield f"{where}: runAsNonRoot is not set"
        if own.get("runAsUser", pod.get("runAsUser")) == 0:
            yield f"{where}: runs as root"
        if (own.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
            yield f"{where}: no seccomp profile"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{where}: may escalate privileges"
        if own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"{where}: keeps capabilities, or takes some"
        if own.get("privileged"):
            yield f"{where}: is privileged"
    for workload in inventory.workloads:
        for volume in workload.volumes.values():
            if "hostPath" in volume:
                yield f"{workload.ref}: mounts the node's {volume['name']}"
        if workload.facts.get("host"):
            yield f"{workload.ref}: uses the node's {workload.facts['host']}"


@rule
def containers_say_what_they_need(case: Case, inventory: Inventory) -> Iterator[str]:
    """Without requests the scheduler packs seven Pis blindly; without a memory limit one pod takes a node down."""
    for workload, container in inventory.containers():
        requests, limits = container.facts.get("requests", {}), container.facts.get("limits", {})
        if not {"cpu", "memory"} <= set(requests) or "memory" not in limits:
            yield f"{workload.ref}/{container.name}: requests {requests}, limits {limits}"
        elif quantity(requests["memory"]) > quantity(limits["memory"]):
            yield f"{workload.ref}/{container.name}: requests more memory than its limit"


UNPROBED = ("log-groomer", "redis", "statsd")  # the chart has no probe for them; all end when they fail


@rule
def what_runs_is_probed(case: Case, inventory: Inventory) -> Iterator[str]:
    """A process that hangs is restarted; a sidecar gates Airflow's start by its first sync."""
    for workload, container in inventory.containers():
        probes = container.facts.get("probes", {})
        where = f"{workload.ref}/{container.name}"
        if container.role == "sidecar" and not {"startup", "liveness"} <= set(probes):
            yield f"{where}: probes {sorted(probes)}"
        if container.role == "main" and workload.ref.startswith(LONG_RUNNING) and not container.name.endswith(UNPROBED):
            watched = "startup" if container.name == "git-sync" else "liveness"
            if watched not in probes:
                yield f"{where}: no {watched} probe"


TALKS_TO_KUBERNETES = {"scheduler", "worker", "triggerer", "api-server"}  # start, watch and read pods
NEVER_TALKS = {
    "dag-processor",
    "statsd",
    "pgbouncer",
    "redis",
    "flower",
    "dag-adopter",
    "run-airflow-migrations",
    "create-user-job",
    "database-cleanup",
}


@rule
def each_component_has_an_account_of_its_own(case: Case, inventory: Inventory) -> Iterator[str]:
    """A role is given to an account; two components with one account have each other's rights."""
    accounts = inventory.facts["serviceAccounts"]
    owners: dict[str, set[str]] = defaultdict(set)
    for workload in inventory.workloads:
        account = workload.facts.get("serviceAccount", "default")
        owners[account].add(workload.component)
        if account not in accounts:
            yield f"{workload.ref}: service account {account} is made by nobody"
        elif (
            workload.component in NEVER_TALKS
            and not ("options/secrets-vault" in case.layers and workload.component == "dag-processor")
            and workload.facts.get("automount", accounts[account]["automount"])
        ):
            yield f"{workload.ref}: has a token for the Kubernetes API and no use for it"
    for account, components in owners.items():
        if len(components) > 1:
            yield f"service account {account} is shared by {sorted(components)}"


@rule
def rights_are_named(case: Case, inventory: Inventory) -> Iterator[str]:
    """And in Airflow's own namespace nobody starts pods but for the Kubernetes executor: a task could take anybody's account."""
    for role, rights in inventory.facts.get("roles", {}).items():
        for right in rights:
            if "*" in right:
                yield f"{role}: {right}"
            if (
                "/" not in role
                and case.of("executor") != "kubernetes"
                and re.search(r"create.* pods\b|create.*pods/exec", right)
            ):
                yield f"{role}: {right}, where Airflow's own pods are"


@rule
def roles_come_from_the_outputs(case: Case, inventory: Inventory) -> Iterator[str]:
    """In the cloud each of Airflow's components has its own role; elsewhere there is none to have."""
    arns = {
        n: a.get("eks.amazonaws.com/role-arn") for n, a in inventory.facts["serviceAccounts"].items() if "/" not in n
    }
    cloud = case.of("platform") == "cloud"
    for workload in inventory.workloads:
        component, account = workload.component, workload.facts.get("serviceAccount", "")
        role = component.replace("-", "_")
        wanted = (
            f"arn:aws:iam::123456789012:role/airflow-dev-{component}"
            if cloud and role in ("scheduler", "dag_processor", "triggerer", "worker", "api_server", "dag_adopter")
            else None
        )
        if arns.get(account) != wanted:
            yield f"{workload.ref}: role {arns.get(account)}, not {wanted}"


SECRETS = {"airflow-keys", "airflow-database", "airflow-broker", "airflow-admin", "airflow-env", "airflow-flower"}
LOGIN = re.compile(r"://[^/@{]*:[^/@{]+@|\"(token|password|secret\w*)\": *\"[^\"]")
SECRETIVE = re.compile(r"passw|secret|token|private|fernet|credential|conn_(?!aws_default)", re.IGNORECASE)


@rule
def nothing_secret_is_in_clear(case: Case, inventory: Inventory) -> Iterator[str]:
    """Values are in git. Secrets are named, and never by the chart's own names: an upgrade deletes those (trap 7)."""
    for name in inventory.facts.get("secrets", {}):
        yield f"Secret/{name}: is made from values, or at random"
    for workload, container in inventory.containers():
        where = f"{workload.ref}/{container.name}"
        for variable in container.facts.get("env", []):
            name, plain, value = variable.partition("=")
            source = re.match(r"\S+ from secret ([^/]*)/", variable)
            if source and source[1] not in SECRETS:
                yield f"{where}: {variable}, which nobody makes"
            harmless = re.fullmatch(r"/[\w./-]*|true|false|", value)
            if plain and " " not in name and (LOGIN.search(value) or (SECRETIVE.search(name) and not harmless)):
                yield f"{where}: {name} is in clear"
        for source in container.facts.get("envFrom", []):
            if source.split()[0] == "secret" and source.split()[1] not in SECRETS:
                yield f"{where}: takes its environment from {source}"
    for section, options in inventory.facts["airflow.cfg"].items():
        for option, value in options.items():
            if value and (
                re.search(r"passw|secret_key|fernet|jwt_secret|_conn$|broker_url", option) or LOGIN.search(value)
            ):
                yield f"airflow.cfg [{section}] {option} is set"


@rule
def nothing_is_a_hook(case: Case, inventory: Inventory) -> Iterator[str]:
    """A post-install migration waits for pods that wait for the migration: --wait, Argo CD and Flux never end (trap 9)."""
    for ref, facts in [*inventory.facts["workloads"].items(), *inventory.facts.get("secrets", {}).items()]:
        if facts.get("hook"):
            yield f"{ref}: {facts['hook']}"


PINNED = {
    f"{image['repository']}:{image['tag']}": image
    for image in yaml.safe_load((ROOT / "versions.yaml").read_text())["images"].values()
}
OWN_IMAGE = (
    "123456789012.dkr.ecr.eu-central-1.amazonaws.com/airflow-dags:2026-11-21.1"  # what delivery/image is tested with
)


@rule
def images_are_pinned(case: Case, inventory: Inventory) -> Iterator[str]:
    """Each once in versions.yaml; `latest` is never the same twice; a Pi runs arm64."""
    for workload, container in inventory.containers():
        image = container.image.removeprefix("docker.io/")
        if image == OWN_IMAGE and case.of("delivery") == "image":
            continue
        if image not in PINNED:
            yield f"{workload.ref}/{container.name}: {image} is not in versions.yaml"
        elif case.of("platform") == "pi" and "linux/arm64" not in PINNED[image]["platforms"]:
            yield f"{workload.ref}/{container.name}: {image} is not for arm64"


@rule
def pods_of_the_pi_go_to_arm64(case: Case, inventory: Inventory) -> Iterator[str]:
    """A mixed cluster would start them anywhere."""
    for workload in inventory.workloads:
        if case.of("platform") == "pi" and workload.facts.get("nodes") != {"kubernetes.io/arch": "arm64"}:
            yield f"{workload.ref}: nodes {workload.facts.get('nodes')}"


PI_NODES, PI_MEMORY, PI_CPU = (
    7,
    6 * GI,
    4,
)  # 8 GB each, of which the system and Longhorn leave 6: values/platform/pi.yaml


@rule
def the_pi_cluster_carries_it(case: Case, inventory: Inventory) -> Iterator[str]:
    """Requests, twice those of what a rollout doubles, and the jobs' quota fit seven Pis; no pod needs more than half of one."""
    if case.of("platform") != "pi":
        return
    memory = cpu = 0.0
    for workload in inventory.workloads:
        pod = {name: _request(workload, name) for name in ("memory", "cpu")}
        if pod["memory"] > PI_MEMORY / 2 or pod["cpu"] > PI_CPU / 2:
            yield f"{workload.ref}: one pod asks for {pod['memory'] / GI:.1f} GiB and {pod['cpu']} CPU"
        times = workload.replicas + (1 if workload.may_overlap else 0)
        memory, cpu = memory + times * pod["memory"], cpu + times * pod["cpu"]
    quota = yaml.safe_load((ROOT / "values/airflow-platform/platform/pi.yaml").read_text())["jobs"]["quota"]
    memory, cpu = memory + quantity(quota["requests.memory"]), cpu + quantity(quota["requests.cpu"])
    if memory > PI_NODES * PI_MEMORY or cpu > PI_NODES * PI_CPU:
        yield f"all together: {memory / GI:.1f} GiB of {PI_NODES * PI_MEMORY / GI:.0f}, {cpu:.1f} CPU of {PI_NODES * PI_CPU}"


def _request(workload: Workload, name: str) -> float:
    """What Kubernetes reserves: the sum of what runs, or the largest of what runs before."""

    def of(container: Container) -> float:
        return quantity(container.facts.get("requests", {}).get(name, 0))

    runs = sum(of(c) for c in workload.containers if c.role != "init")
    return max([runs, *(of(c) for c in workload.containers if c.role == "init")])


# --- Airflow ------------------------------------------------------------------------------------------------------------


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
def service_links_are_off(case: Case, inventory: Inventory) -> Iterator[str]:
    """A Service named airflow-… would put AIRFLOW_… variables into each pod."""
    for workload in inventory.workloads:
        if workload.component not in ("postgresql", "primary") and workload.facts.get("serviceLinks") is not False:
            yield f"{workload.ref}: enableServiceLinks is {workload.facts.get('serviceLinks')}"


@rule
def a_change_of_our_code_rolls_airflow(case: Case, inventory: Inventory) -> Iterator[str]:
    """The ConfigMap is another release's: nothing else would restart the pods that mount it."""
    for workload in inventory.workloads:
        mounts_ours = any(v.get("configMap") == "airflow-platform-code" for v in workload.volumes.values())
        if (
            mounts_ours
            and workload.component not in ("pgbouncer", "dag-adopter")
            and "airflow-platform" not in workload.facts.get("checksums", [])
        ):
            yield f"{workload.ref}: mounts our code and has no checksum of it"


@rule
def all_of_airflow_is_one_image(case: Case, inventory: Inventory) -> Iterator[str]:
    """`images.airflow` leaves Kubernetes task pods and Flower on the stock image (trap 13); the default image reaches all."""
    wanted = inventory.workload("Deployment/airflow-scheduler").container("scheduler").image
    ours = {
        "scheduler",
        "dag-processor",
        "triggerer",
        "worker",
        "api-server",
        "flower",
        "run-airflow-migrations",
        "create-user-job",
        "database-cleanup",
    }
    for workload, container in inventory.containers():
        if workload.component in ours and not container.name.startswith("git-sync") and container.image != wanted:
            yield f"{workload.ref}/{container.name}: {container.image}, not {wanted}"


@rule
def claims_are_of_data_alone(case: Case, inventory: Inventory) -> Iterator[str]:
    """The chart's default is 100 GiB of logs for each stateful component (trap 18)."""
    allowed = {"airflow-postgresql/data", "airflow-redis/redis-db", "airflow-platform-dags"}
    for claim in inventory.facts.get("claims", {}):
        if claim not in allowed:
            yield f"claim {claim}"


@rule
def what_the_chart_leaves_off_is_on(case: Case, inventory: Inventory) -> Iterator[str]:
    """Database cleanup and, in the cloud, disruption budgets are off by default (trap 22)."""
    if "CronJob/airflow-database-cleanup" not in inventory.facts["workloads"]:
        yield "no cleanup of the database"
    if case.of("platform") == "cloud":
        guarded = {b["selects"].get("component") for b in inventory.facts.get("disruptionBudgets", {}).values()}
        for component in sorted({"scheduler", "api-server", "triggerer", "pgbouncer"} - guarded):
            yield f"{component}: no disruption budget"


DEFAULT_NAMES = re.compile(
    r"airflow-(fernet-key|api-secret-key|jwt-secret|metadata|broker-url|redis-password|result-backend|pgbouncer-config|pgbouncer-stats|postgresql|webserver-secret-key)$"
)


@rule
def secrets_have_names_of_our_own(case: Case, inventory: Inventory) -> Iterator[str]:
    """Helm deletes a secret that it made once and renders no more, also when values now name it (trap 7)."""
    for workload in inventory.workloads:
        named = [str(v["secret"]) for v in workload.facts.get("volumes", []) if v.get("secret")]
        for container in workload.containers:
            named += re.findall(r" from secret ([^/]+)/", "\n".join(container.facts.get("env", [])))
        for name in sorted({name for name in named if DEFAULT_NAMES.search(name)}):
            yield f"{workload.ref}: secret {name} has a name of the chart's own"


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
def who_reads_dags_is_given_them(case: Case, inventory: Inventory) -> Iterator[str]:
    """A mount alone stays empty: beside each reader is what fills it, before it starts and ever after."""
    for workload in inventory.workloads:
        if workload.component not in readers(case) or workload.component == "triggerer":
            continue
        found, task = workload.facts["containers"], workload.ref == "Pod/task"
        if case.of("delivery") == "s3-sync":
            name, role = ("dag-sync-init", "init") if task else ("dag-sync", "sidecar")
            env = Container(name, found.get(name, {})).env if name in found else {}
            if found.get(name, {}).get("role") != role:
                yield f"{workload.ref}: no {role} container {name}"
            for variable in ("DAG_SYNC_BUCKET", "DAG_SYNC_ENVIRONMENT", "DAG_SYNC_INTERVAL", "AWS_DEFAULT_REGION"):
                if not env.get(variable):
                    yield f"{workload.ref}/{name}: {variable} is not set"
        if case.of("delivery") == "git-sync":
            for name in ("git-sync-init",) if task else ("git-sync-init", "git-sync"):
                env = Container(name, found[name]).env if name in found else {}
                if env.get("GITSYNC_MAX_FAILURES") != "-1":
                    yield f"{workload.ref}/{name}: ends when the git server is away"
                if "GITSYNC_HTTP_METRICS" in env and "GITSYNC_HTTP_BIND" not in env:
                    yield f"{workload.ref}/{name}: metrics without an address: git-sync ends at once"


@rule
def airflow_is_set_up_for_where_it_runs(case: Case, inventory: Inventory) -> Iterator[str]:
    """Logs outlive the pod in the cloud and are found while it lives; a lost node is no failed task; links lead home."""
    wanted = {
        ("core", "hostname_callable"): "airflow.utils.net.get_host_ip_address",
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
