"""Who may do what: rights of every service account, quota and Pod Security of the jobs' namespace, network policies, drains.

Asked of the real API server. No network plugin is there, so nothing enforces the network policies: what they select is
shown here, and what they open in tests/policy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from scripts.local.cluster.cluster import JOBS, Cluster, Failed
from scripts.manage.layers.chart import archive
from scripts.manage.layers.environments import NAMESPACE
from tests.cluster.conftest import a_cluster
from tests.cluster.rights import Reviewer, Rights
from tests.cluster_policy import conftest as policies
from tests.helpers.charts import ENVIRONMENTS, ON_PI, OUR_CHART, Case

pytestmark = [
    pytest.mark.fake_nodes,  # Airflow's pods are to run without a bucket, roles and a database
    pytest.mark.skipif(not archive(), reason="the official chart's archive is not here (make tools)"),
]

CASES = {case.name: case for case in (*ENVIRONMENTS, *ON_PI)}
IN_FULL = pytest.mark.exhaustive("cluster")
ALL = ["pi", *(pytest.param(name, marks=IN_FULL) for name in ("prod", "pi-celery")), "pi-kubernetes"]
# Each list begins as the one above: pytest keeps a cluster for the tests of one place in these lists.
in_each = pytest.mark.parametrize("installed", ALL, indirect=True)
with_and_without_budgets = pytest.mark.parametrize("installed", ALL[:2], indirect=True)
on_pi = pytest.mark.parametrize("installed", ALL[:1], indirect=True)


@dataclass(frozen=True)
class Installed:
    """A case on a cluster."""

    case: str
    cluster: Cluster

    def pods(self, namespace: str = NAMESPACE, *words: str) -> dict[str, str]:
        """Component of each pod."""
        found = [pod["metadata"] for pod in self.cluster.objects("pods", namespace, *words)]
        return {pod["name"]: component(pod["labels"]) for pod in found}


def component(labels: dict[str, str]) -> str:
    """The chart's PostgreSQL is a chart of its own."""
    return labels.get("component") or labels["app.kubernetes.io/name"]


@pytest.fixture(scope="module")
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """Both charts; tests leave it as they find it."""
    case = CASES[request.param]
    with a_cluster(request.config, tmp_path_factory.mktemp(request.param)) as cluster:
        install(cluster, case)
        yield Installed(case.name, cluster)


def install(cluster: Cluster, case: Case) -> None:
    """By Helm alone, for layers that no environment has."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    for name in ("airflow-keys", "airflow-admin", "airflow-database", "airflow-broker"):
        cluster.kubectl("create", "secret", "generic", name, "--namespace", NAMESPACE)
    for release, chart, files in (("airflow-platform", OUR_CHART, case.our_files), ("airflow", archive(), case.files)):
        values = [word for file in files for word in ("--values", file)]
        cluster.helm("install", release, chart or "", "--namespace", NAMESPACE, *values)
    cluster.wait("every pod to start", cluster.settled)


# --- rights -----------------------------------------------------------------------------------------------------

START_JOBS: Rights = {  # KubernetesPodOperator, and the triggerer when it is deferred
    "pods": "create delete get list patch watch",
    "pods/log": "get",
    "pods/exec": "create get",
    "events": "get list watch",
}
START_TASKS: Rights = {"pods": "create delete get list patch watch"}
READ_LOGS: Rights = {"pods": "get list watch", "pods/log": "get list"}

# All that anybody may, by account and namespace. An account that is only listed below may nothing.
MAY: dict[str, dict[str, dict[str, Rights]]] = {
    "pi": {"airflow-scheduler": {JOBS: START_JOBS}, "airflow-triggerer": {JOBS: START_JOBS}},
    "prod": {"airflow-scheduler": {JOBS: START_JOBS}, "airflow-triggerer": {JOBS: START_JOBS}},
    "pi-celery": {"airflow-worker": {JOBS: START_JOBS}, "airflow-triggerer": {JOBS: START_JOBS}},
    "pi-kubernetes": {
        "airflow-scheduler": {NAMESPACE: START_TASKS},
        "airflow-worker-kubernetes": {JOBS: START_JOBS},
        "airflow-triggerer": {JOBS: START_JOBS},
        "airflow-api-server": {NAMESPACE: READ_LOGS},
    },
}
CLEANS_UP: dict[str, dict[str, Rights]] = {"airflow-job-cleanup": {JOBS: {"pods": "delete list"}}}
EVERYWHERE = (
    "default", "airflow-api-server", "airflow-create-user-job", "airflow-dag-processor", "airflow-database-cleanup",
    "airflow-job-cleanup", "airflow-migrate-database-job", "airflow-scheduler", "airflow-statsd", "airflow-triggerer",
)  # fmt: skip
ACCOUNTS: dict[str, dict[str, tuple[str, ...]]] = {
    "pi": {NAMESPACE: ("airflow-postgresql",), JOBS: ("default", "financial-screener")},
    "prod": {NAMESPACE: ("airflow-pgbouncer", "airflow-dag-adopter"), JOBS: ("default", "finance", "risk-reports", "sales")},
    "pi-celery": {NAMESPACE: ("airflow-postgresql", "airflow-redis", "airflow-worker"), JOBS: ("default", "financial-screener")},
    "pi-kubernetes": {NAMESPACE: ("airflow-postgresql", "airflow-worker-kubernetes"), JOBS: ("default", "financial-screener")},
}  # fmt: skip


@in_each
def test_every_account_may_what_the_table_says_and_nothing_more(installed: Installed) -> None:
    found = {
        namespace: sorted(one["metadata"]["name"] for one in installed.cluster.objects("serviceaccounts", namespace))
        for namespace in (NAMESPACE, JOBS)
    }
    listed = ACCOUNTS[installed.case]
    assert found == {NAMESPACE: sorted((*EVERYWHERE, *listed[NAMESPACE])), JOBS: sorted(listed[JOBS])}
    ask = Reviewer(installed.cluster.kubeconfig)
    may = {
        f"{namespace}:{name}": {
            place: rights
            for place in (NAMESPACE, JOBS, "kube-system")
            if (rights := ask.rights(f"{namespace}:{name}", place))
        }
        for namespace, names in found.items()
        for name in names
    }
    assert {account: rights for account, rights in may.items() if rights} == {
        f"{NAMESPACE}:{account}": rights for account, rights in (MAY[installed.case] | CLEANS_UP).items()
    }


# What would make a right of any kind out of the ones above.
NOBODY_MAY = [
    ("get", "secrets"),
    ("create", "pods/exec"),
    ("create", "serviceaccounts/token"),
    ("impersonate", "serviceaccounts"),
    ("create", "rolebindings.rbac.authorization.k8s.io"),
    ("escalate", "roles.rbac.authorization.k8s.io"),
]


@in_each
def test_no_account_of_ours_may_take_over_airflow(installed: Installed) -> None:
    ask = Reviewer(installed.cluster.kubeconfig)
    accounts = [
        f"{namespace}:{one['metadata']['name']}"
        for namespace in (NAMESPACE, JOBS)
        for one in installed.cluster.objects("serviceaccounts", namespace)
    ]
    assert ask.may(f"{NAMESPACE}:airflow-triggerer", "create", "pods/exec", JOBS), "the question is understood"
    assert not [
        (account, *right) for account in accounts for right in NOBODY_MAY if ask.may(account, *right, NAMESPACE)
    ]


# --- the jobs' namespace ----------------------------------------------------------------------------------------

RESTRICTED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def job_pod(name: str, memory: str | None = None, volumes: tuple[dict[str, Any], ...] = (), **security: Any) -> str:
    """A pod of one container, as JSON."""
    resources = {"requests": {"memory": memory}, "limits": {"memory": memory}} if memory else {}
    container = {"name": "base", "image": "i", "resources": resources, "securityContext": RESTRICTED | security}
    spec = {"serviceAccountName": "financial-screener", "containers": [container], "volumes": volumes}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def create(cluster: Cluster, pod: str, *words: str) -> dict[str, Any]:
    """A pod in the jobs' namespace, as the API server takes it. Raises Failed."""
    made = cluster.kubectl("create", "--namespace", JOBS, "--filename", "-", "--output", "json", *words, stdin=pod)
    taken: dict[str, Any] = json.loads(made)
    return taken


@on_pi
def test_a_job_pod_that_asks_for_nothing_gets_the_defaults_and_no_token(installed: Installed) -> None:
    spec = create(installed.cluster, job_pod("modest"), "--dry-run=server")["spec"]
    [container] = spec["containers"]
    assert container["resources"] == {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
    assert "volumes" not in spec and "volumeMounts" not in container


@on_pi
def test_job_pods_beyond_a_node_or_beyond_their_share_are_refused(installed: Installed) -> None:
    cluster = installed.cluster
    with pytest.raises(Failed, match="maximum memory usage per Container is 6Gi, but limit is 7Gi"):
        create(cluster, job_pod("greedy", "7Gi"), "--dry-run=server")
    try:
        for number in range(4):
            create(cluster, job_pod(f"large-{number}", "6Gi"))
        with pytest.raises(Failed, match=r"exceeded quota: jobs, requested: requests\.memory=256Mi, used: requests\.memory=24Gi, limited: requests\.memory=24Gi"):  # fmt: skip
            create(cluster, job_pod("one-more"), "--dry-run=server")
    finally:
        cluster.kubectl("delete", "pods", "--all", "--namespace", JOBS, "--now")


FORBIDDEN = {
    "privileged": (job_pod("p", privileged=True, allowPrivilegeEscalation=True), "privileged (container"),
    "root": (job_pod("p", runAsNonRoot=False, runAsUser=0), "runAsNonRoot != true"),
    "a node's path": (job_pod("p", volumes=({"name": "etc", "hostPath": {"path": "/etc"}},)), "hostPath"),
    "more than it was given": (job_pod("p", allowPrivilegeEscalation=True), "allowPrivilegeEscalation != false"),
}


@on_pi
@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_pod_that_could_take_a_node_is_refused(installed: Installed, what: str) -> None:
    pod, says = FORBIDDEN[what]
    with pytest.raises(Failed) as refused:
        create(installed.cluster, pod, "--dry-run=server")
    assert 'forbidden: violates PodSecurity "restricted:latest"' in str(refused.value) and says in str(refused.value)


@on_pi
def test_the_pod_of_a_kubernetes_pod_operator_is_taken(installed: Installed, tmp_path: Path) -> None:
    """As it comes out of a real Airflow with the shipped cluster policies, without a word on security from its author."""
    with policies.start(tmp_path / "airflow", *policies.PROVIDER) as airflow:
        airflow.say(packages=["financial_screener"])
        text = policies.dag("financial_screener_x", OPERATOR)
        root = policies.write(airflow.airflow.dags, {"financial_screener/dags/x.py": text})
        pod = airflow.ask("pod", root=str(root), dag_id="financial_screener_x", task_id="job", mapped=None)["pod"]
    taken = create(installed.cluster, json.dumps(pod), "--dry-run=server")
    assert (taken["metadata"]["namespace"], taken["spec"]["serviceAccountName"]) == (JOBS, "financial-screener")


OPERATOR = """
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
KubernetesPodOperator(task_id="job", image="i", do_xcom_push=True)
"""

# --- Pod Security of Airflow's own pods -------------------------------------------------------------------------


@in_each
def test_every_pod_of_airflow_would_be_taken_by_restricted_too(installed: Installed) -> None:
    label = "pod-security.kubernetes.io/enforce=restricted"
    done = installed.cluster.run("kubectl", "label", "--dry-run=server", "namespace", NAMESPACE, label)
    assert done.stderr == "", "the API server names the pods that would not be"
    [settings] = installed.cluster.objects("configmaps", NAMESPACE, "--field-selector=metadata.name=airflow-config")
    if template := settings["data"].get("pod_template_file.yaml"):  # of the Kubernetes executor's task pods
        pod = yaml.safe_load(template)
        pod["metadata"] |= {"name": "task", "namespace": JOBS}  # where it is enforced
        pod["spec"]["serviceAccountName"] = "default"
        create(installed.cluster, json.dumps(pod), "--dry-run=server")


# --- network policies -------------------------------------------------------------------------------------------

# Policies that select no pod now, and why.
SELECT_NOTHING = {
    "airflow-run-airflow-migrations": "its Job goes five minutes after its end",
    "airflow-create-user-job": "likewise",
    "airflow-database-cleanup": "of a CronJob, on Sundays",
    "airflow-cleanup-pods": "of the chart's other CronJob, which is off",
    "airflow-postgresql-default-deny": "in the cloud the database is elsewhere",
    "airflow-flower": "of an option",
    "airflow-job-cleanup": "of a CronJob, each hour",
    "airflow-worker": "with KubernetesExecutor these pods come with tasks",
}


def selected(installed: Installed, policy: dict[str, Any]) -> set[str]:
    """Components of the pods that it selects, said by the API server."""
    selector = policy["spec"]["podSelector"]
    terms = [f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()]
    for one in selector.get("matchExpressions", []):
        assert one["operator"] == "In"
        terms.append(f"{one['key']} in ({','.join(one['values'])})")
    words = ("--selector", ",".join(terms)) if terms else ()
    return set(installed.pods(policy["metadata"]["namespace"], *words).values())


@in_each
def test_every_policy_selects_the_pods_that_it_is_named_for(installed: Installed) -> None:
    everything = set(installed.pods().values())
    tasks = {"pi-celery": {"worker", "triggerer"}, "pi-kubernetes": {"triggerer"}}
    groups = {
        "airflow-default-deny": everything - {"postgresql"},
        "airflow-postgresql-default-deny": everything & {"postgresql"},
        "airflow-tasks-additions": tasks.get(installed.case, {"scheduler", "triggerer"}),
    }
    found = {policy["metadata"]["name"]: selected(installed, policy) for policy in installed.cluster.objects("networkpolicies")}  # fmt: skip
    nothing = {name for name, components in found.items() if not components}
    assert nothing <= set(SELECT_NOTHING)
    assert found == {
        name: set() if name in nothing else groups.get(name, {name.removeprefix("airflow-")}) for name in found
    }
    assert {f"airflow-{one}" for one in everything} <= set(found), "each component has one of its own"


@on_pi
def test_the_jobs_policy_selects_every_pod_there_and_lets_nobody_in(installed: Installed) -> None:
    [policy] = installed.cluster.objects("networkpolicies", JOBS)
    assert policy["spec"]["podSelector"] == {} and policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy["spec"]


# --- drains -----------------------------------------------------------------------------------------------------

# Components of which a drain takes one at a time, so that the other goes on; of the rest there is one, or none is missed.
KEPT = {"pi": set[str](), "prod": {"scheduler", "api-server", "triggerer", "pgbouncer"}}


@with_and_without_budgets
def test_a_drain_takes_what_no_budget_keeps(installed: Installed) -> None:
    """Of all nodes at once, so that no replacement can start: the worst that a person can do with `kubectl drain`."""
    cluster, pods = installed.cluster, installed.pods()
    cluster.wait("budgets to allow something", lambda: all(map(allows, cluster.objects("poddisruptionbudgets"))))
    try:
        cluster.kubectl("cordon", "--selector", "power=on")
        evict = Evictor(cluster.kubeconfig)
        said = {name: evict(name, NAMESPACE) for name in pods}
    finally:
        cluster.kubectl("uncordon", "--selector", "power=on")
        cluster.wait("every pod to come back", cluster.settled)
    refused = {name: words for name, words in said.items() if words}
    assert sorted(pods[name] for name in refused) == sorted(KEPT[installed.case]), "one of each of these, nothing else"
    assert set(refused.values()) <= {"Cannot evict pod as it would violate the pod's disruption budget."}


def allows(budget: dict[str, Any]) -> bool:
    """Whether the disruption controller has counted."""
    return bool(budget.get("status", {}).get("disruptionsAllowed"))


class Evictor:
    """Evicts pods as `kubectl drain` does, which would ask again every five seconds."""

    def __init__(self, kubeconfig: Path) -> None:
        self._core = client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))

    def __call__(self, name: str, namespace: str) -> str:
        """What the API server says against it; nothing when it takes the pod away."""
        eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=name, namespace=namespace))
        try:
            self._core.create_namespaced_pod_eviction(name, namespace, eviction)
        except client.ApiException as error:
            return str(json.loads(error.body)["message"])
        return ""
