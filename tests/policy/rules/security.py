"""Accounts, rights, secrets: each component its own, and nothing in clear."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from tests.helpers.charts import Case
from tests.helpers.workloads import Inventory
from tests.policy.rules.registry import rule


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


IDS = ("runAsUser", "runAsGroup", "fsGroup", "supplementalGroups")


@rule
def users_are_numbers_but_on_openshift(case: Case, inventory: Inventory) -> Iterator[str]:
    """Of an image that names its user nobody can check that it is not root; OpenShift refuses every id but its own."""
    for workload, container in inventory.containers():
        pod, own = workload.facts.get("security", {}), container.facts.get("security", {})
        where, said = f"{workload.ref}/{container.name}", [name for name in IDS if name in pod or name in own]
        if case.of("ids") == "openshift" and said:
            yield f"{where}: {', '.join(said)}"
        elif case.of("ids") == "fixed" and "runAsUser" not in said:
            yield f"{where}: its user is the image's, which may be a name"


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
    """And in Airflow's own namespace only the Kubernetes executor's scheduler starts pods: a task could take anybody's account."""
    bound = {name.rpartition(" to ")[2]: accounts for name, accounts in inventory.facts.get("roleBindings", {}).items()}
    for role, rights in inventory.facts.get("roles", {}).items():
        for right in rights:
            if "*" in right:
                yield f"{role}: {right}"
            if "/" not in role and re.search(r"create.* pods\b|create.*pods/exec", right):
                scheduler = case.of("executor") == "kubernetes" and bound.get(role) == ["airflow/airflow-scheduler"]
                if "exec" in right or not scheduler:
                    yield f"{role} of {bound.get(role)}: {right}, where Airflow's own pods are"


@rule
def roles_come_from_the_outputs(case: Case, inventory: Inventory) -> Iterator[str]:
    """In the cloud each of Airflow's components has its own role by IRSA, and with Pod Identity no annotation: IRSA would win."""
    arns = {
        n: a.get("eks.amazonaws.com/role-arn") for n, a in inventory.facts["serviceAccounts"].items() if "/" not in n
    }
    cloud = case.of("platform") == "cloud" and not {"options/pod-identity", "options/own-store"} & {*case.layers}
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


SECRETS = {
    "airflow-keys",
    "airflow-database",
    "airflow-broker",
    "airflow-admin",
    "airflow-env",
    "airflow-flower",
    "airflow-store",
}
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
