"""Real KubernetesPodOperators, and the pod that each would ask the API server for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import FILES, Policies, dag, write

EXAMPLES = FILES.parents[2] / "examples"
IMPORT = """
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.cncf.kubernetes.operators.job import KubernetesJobOperator
from kubernetes.client import models as k8s
"""
Make = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(pod_policies: Policies) -> Make:
    """The answer to a DAG of package `team_a` (or another) with one task, `job`."""

    def make(task: str, package: str = "team_a", mapped: dict[str, Any] | None = None) -> dict[str, Any]:
        root = write(pod_policies.airflow.dags, {f"{package}/dags/x.py": dag(f"{package}_x", IMPORT + task)})
        answer = pod_policies.ask("pod", root=str(root), dag_id=f"{package}_x", task_id="job", mapped=mapped)
        assert isinstance(answer, dict)
        return answer

    return make


@pytest.fixture
def pod(ask: Make) -> Make:
    def make(*args: Any, **kwargs: Any) -> dict[str, Any]:
        answer = ask(*args, **kwargs)
        assert "pod" in answer, answer
        result: dict[str, Any] = answer["pod"]
        return result

    return make


def operator(arguments: str = "", cls: str = "KubernetesPodOperator") -> str:
    return f'{cls}(task_id="job", image="i", {arguments})'


def facts(pod: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
    """Namespace, account, and the two labels."""
    labels = pod["metadata"]["labels"]
    return pod["metadata"]["namespace"], pod["spec"].get("serviceAccountName"), labels["app"], labels["dag_id"]


OURS = ("etl-jobs", "team-a", "team_a", "team_a_x")
SUBCLASS = "class Mine(KubernetesPodOperator): ...\n" + operator(cls="Mine")
DECORATED = '@task.kubernetes(image="i")\ndef job(): ...\njob()'
FULL = "full_pod_spec=k8s.V1Pod(metadata=k8s.V1ObjectMeta({0}), spec=k8s.V1PodSpec(containers=[k8s.V1Container(name='base')], {1}))"


@pytest.mark.parametrize("task", [operator(), SUBCLASS, DECORATED], ids=["operator", "subclass", "decorator"])
def test_a_pod_goes_to_the_jobs_namespace_with_its_package_s_account_and_labels(pod: Make, task: str) -> None:
    assert facts(pod(task)) == OURS


def test_a_job_s_pod_too(ask: Make) -> None:
    job = ask(operator(cls="KubernetesJobOperator"))["pod"]
    assert job["metadata"]["namespace"] == "etl-jobs"
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "team-a"
    assert job["spec"]["template"]["metadata"]["labels"]["app"] == "team_a"


def test_labels_of_the_author_stay_but_for_the_two(pod: Make) -> None:
    labels = pod(operator('labels={"tier": "batch", "app": "mine"}'))["metadata"]["labels"]
    assert labels["tier"] == "batch" and labels["app"] == "team_a" and labels["task_id"] == "job"


KARPENTER, AUTOSCALER = "karpenter.sh/do-not-disrupt", "cluster-autoscaler.kubernetes.io/safe-to-evict"


def test_a_pod_is_not_moved_to_save_a_node_unless_its_author_says_so(pod: Make, ask: Make) -> None:
    made = pod(operator())["metadata"]["annotations"]
    assert (made[KARPENTER], made[AUTOSCALER]) == ("true", "false")
    made = pod(operator(f'annotations={{"{KARPENTER}": "false", "a": "b"}}'))["metadata"]["annotations"]
    assert (made[KARPENTER], made[AUTOSCALER], made["a"]) == ("false", "false", "b")
    job = ask(operator(cls="KubernetesJobOperator"))["pod"]["spec"]["template"]
    assert job["metadata"]["annotations"][KARPENTER] == "true"


@pytest.mark.parametrize(
    "arguments",
    [
        'namespace="elsewhere"',
        FULL.format("namespace='elsewhere'", ""),
        'pod_template_dict={"metadata": {"namespace": "elsewhere"}, "spec": {"containers": [{"name": "base"}]}}',
        "pod_template_file=__file__ + '.yaml'",
    ],
    ids=["argument", "full_pod_spec", "pod_template_dict", "pod_template_file"],
)
def test_a_namespace_of_the_author_s_stays_and_gets_no_account(
    pod_policies: Policies, pod: Make, arguments: str
) -> None:
    """Accounts of packages are in the jobs' namespace: a pod elsewhere could not start with one."""
    text = "metadata: {namespace: elsewhere}\nspec: {containers: [{name: base}]}\n"
    write(pod_policies.airflow.dags, {"team_a/dags/x.py.yaml": text})
    made = pod(operator(arguments))
    assert facts(made) == ("elsewhere", None, "team_a", "team_a_x")
    assert "runAsNonRoot" not in made["spec"].get("securityContext", {})


@pytest.mark.parametrize(
    "arguments",
    [
        'service_account_name="spark"',
        FULL.format("", "service_account_name='spark'"),
        'pod_template_dict={"spec": {"serviceAccountName": "spark", "containers": [{"name": "base"}]}}',
    ],
    ids=["argument", "full_pod_spec", "pod_template_dict"],
)
def test_an_account_that_is_no_package_s_stays(pod: Make, arguments: str) -> None:
    assert facts(pod(operator(arguments))) == ("etl-jobs", "spark", "team_a", "team_a_x")


@pytest.mark.parametrize(
    "arguments",
    [
        'service_account_name="sales"',
        'namespace="etl-jobs", service_account_name="sales-eu2"',
        FULL.format("", "service_account_name='sales'"),
        'pod_template_dict={"spec": {"serviceAccountName": "sales", "containers": [{"name": "base"}]}}',
    ],
)
def test_another_package_s_account_is_refused_when_read(ask: Make, arguments: str) -> None:
    (text,) = ask(operator(arguments))["errors"].values()
    assert text.startswith(
        "AirflowClusterPolicyViolation: task 'job' of DAG 'team_a_x' in team_a/dags/x.py asks for service"
    )
    assert text.endswith("leave service_account_name out to get that of 'team_a'")


@pytest.mark.parametrize(
    "arguments",
    [
        FULL.format("", "service_account='sales'"),
        'pod_template_dict={"spec": {"serviceAccount": "sales", "containers": [{"name": "base"}]}}',
    ],
)
def test_another_package_s_account_by_the_field_s_old_name_is_not_given(ask: Make, arguments: str) -> None:
    """Kubernetes takes the old name where the new one is missing, as it is for a package without an account."""
    assert facts(ask(operator(arguments))["pod"]) == OURS
    (text,) = ask(operator(arguments), package="newcomer")["errors"].values()
    assert "asks for service account 'sales' of package 'sales'" in text


@pytest.mark.parametrize("arguments", ['service_account_name="default"', 'service_account_name="team-a"'])
def test_its_own_account_and_nobody_s_are_not_refused(pod: Make, arguments: str) -> None:
    assert pod(operator(arguments))["spec"]["serviceAccountName"] in ("default", "team-a")


def test_another_package_s_account_elsewhere_is_not_ours_to_judge(pod: Make) -> None:
    assert facts(pod(operator('namespace="elsewhere", service_account_name="sales"')))[1] == "sales"


def test_a_package_without_an_account_gets_none(pod: Make) -> None:
    """The pod would wait for ever for an account that is not there."""
    assert facts(pod(operator(), package="newcomer"))[:2] == ("etl-jobs", None)


def test_with_no_packages_listed_each_has_an_account(pod_policies: Policies, ask: Make) -> None:
    pod_policies.say(packages=[])
    assert facts(ask(operator(), package="newcomer")["pod"])[1] == "newcomer"
    assert "of package 'spark'" in str(ask(operator('service_account_name="spark"'))["errors"])


def test_the_jobs_namespace_is_the_environment_s(pod_policies: Policies, pod: Make) -> None:
    pod_policies.say(jobs_namespace="jobs")
    made = pod(operator())
    assert facts(made)[0] == "jobs" and made["spec"]["securityContext"]["runAsNonRoot"] is True


# --- mapped -----------------------------------------------------------------------------------------------------

PARTIAL = 'KubernetesPodOperator.partial(task_id="job", image="i", {0})'


@pytest.mark.parametrize("expand", ['expand(cmds=[["a"], ["b"]])', 'expand_kwargs([{"cmds": ["a"]}])'])
def test_a_mapped_task_is_treated_alike(pod: Make, expand: str) -> None:
    assert facts(pod(f"{PARTIAL.format('')}.{expand}", mapped={"cmds": ["a"]})) == OURS


MAPPED = {"namespace": "elsewhere", "labels": {"a": "b"}}


@pytest.mark.parametrize(
    "expand",
    [
        'expand(namespace=["elsewhere"], labels=[{"a": "b"}])',
        'expand_kwargs([{"namespace": "elsewhere", "labels": {"a": "b"}}])',
        "expand_kwargs(kwargs())",
    ],
)
def test_what_is_mapped_wins_and_the_hook_labels_it(pod: Make, expand: str) -> None:
    """Nobody knows what a task will return; `expand_kwargs` would fail it for an argument named twice."""
    task = f"@task\ndef kwargs(): ...\n{PARTIAL.format('')}.{expand}"
    made = pod(task, mapped=MAPPED)
    assert (made["metadata"]["namespace"], made["metadata"]["labels"]["a"]) == ("elsewhere", "b")
    assert made["metadata"]["labels"]["app"] == "team_a"


@pytest.mark.parametrize("mapped", [None, {"cmds": ["a"]}])
def test_a_subclass_s_own_namespace_is_kept(pod: Make, mapped: dict[str, Any] | None) -> None:
    """As EksPodOperator has `default`, in a cluster of its own."""
    cls = """
class Mine(KubernetesPodOperator):
    def __init__(self, namespace="default", **kwargs):
        super().__init__(namespace=namespace, **kwargs)
"""
    task = PARTIAL.format("").replace("KubernetesPodOperator", "Mine") + ".expand(cmds=[['a']])"
    made = pod(cls + (task if mapped else operator(cls="Mine")), mapped=mapped)
    assert facts(made) == ("default", None, "team_a", "team_a_x")


def test_another_package_s_account_is_refused_when_mapped(ask: Make) -> None:
    task = f"{PARTIAL.format('')}.expand(service_account_name=['sales'])"
    (text,) = ask(task, mapped={"service_account_name": "sales"})["errors"].values()
    assert text.startswith("AirflowClusterPolicyViolation: pod 'job-") and "of package 'sales'" in text


def test_another_package_s_account_is_refused_from_partial(ask: Make) -> None:
    task = PARTIAL.format("service_account_name='sales'") + ".expand(cmds=[['a']])"
    (text,) = ask(task)["errors"].values()
    assert "asks for service account 'sales' of package 'sales'" in text


# --- Pod Security -----------------------------------------------------------------------------------------------

RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
SECCOMP = {"type": "RuntimeDefault"}


def test_a_pod_is_restricted_init_containers_too(pod: Make) -> None:
    spec = pod(operator('init_containers=[k8s.V1Container(name="first", image="i")]'))["spec"]
    assert spec["securityContext"] == {"runAsNonRoot": True, "seccompProfile": SECCOMP}
    assert [c["securityContext"] for c in spec["containers"] + spec["initContainers"]] == [RESTRICTED, RESTRICTED]


AUTHOR = {
    "models": """
        security_context=k8s.V1PodSecurityContext(run_as_non_root=False, fs_group=7),
        container_security_context=k8s.V1SecurityContext(
            allow_privilege_escalation=True, capabilities=k8s.V1Capabilities(add=["NET_BIND_SERVICE"])),
    """,
    "dictionaries": """
        security_context={"runAsNonRoot": False, "fsGroup": 7},
        container_security_context={"allowPrivilegeEscalation": True, "capabilities": {"add": ["NET_BIND_SERVICE"]}},
    """,
}


@pytest.mark.parametrize("case", AUTHOR)
def test_what_the_author_set_stays(pod: Make, case: str) -> None:
    spec = pod(operator(AUTHOR[case]))["spec"]
    assert spec["securityContext"] == {"runAsNonRoot": False, "fsGroup": 7, "seccompProfile": SECCOMP}
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": True,
        "capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]},
    }


@pytest.mark.parametrize("context", ["privileged=True", "capabilities=k8s.V1Capabilities(add=['SYS_ADMIN'])"])
def test_no_pod_is_made_that_the_api_server_calls_invalid(pod: Make, context: str) -> None:
    """`allowPrivilegeEscalation: false` beside these is an error of its own, which would hide that of Pod Security."""
    made = pod(operator(f"container_security_context=k8s.V1SecurityContext({context})"))
    assert "allowPrivilegeEscalation" not in made["spec"]["containers"][0]["securityContext"]


@pytest.mark.parametrize(("context", "user"), [("None", 65534), ("{'runAsUser': 1000}", None)])
def test_airflow_s_sidecar_can_start_without_root(pod: Make, context: str, user: int | None) -> None:
    """Its image, alpine, runs as root, which `runAsNonRoot` forbids; it only waits and reads a file."""
    _, sidecar = pod(operator(f"do_xcom_push=True, security_context={context}"))["spec"]["containers"]
    assert sidecar["name"] == "airflow-xcom-sidecar"
    assert sidecar["securityContext"].get("runAsUser") == user


def test_on_openshift_no_pod_asks_for_a_user(pod: Make, pod_policies: Policies) -> None:
    """Each namespace has its own range; a pod with another is refused."""
    pod_policies.say(fixed_ids=False)
    made = pod(operator("do_xcom_push=True"))["spec"]
    assert "runAsUser" not in json.dumps(made)
    assert made["securityContext"]["runAsNonRoot"] is True


# --- examples ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dag_id", "task_id", "package"),
    [("sales_daily_report", "report_emea", "sales"), ("finance_month_end", "post_closing_entries", "finance")],
)
def test_the_examples_pods(pod_policies: Policies, dag_id: str, task_id: str, package: str) -> None:
    made = pod_policies.ask("pod", root=str(EXAMPLES), dag_id=dag_id, task_id=task_id)
    assert facts(made["pod"]) == ("etl-jobs", package, package, dag_id)


# --- what becomes of a pod that ended ---------------------------------------------------------------------------


@pytest.fixture
def deleted(pod_policies: Policies) -> Callable[..., bool]:
    """Whether the pod of a task is deleted when the task ends."""

    def make(task: str, phase: str = "Failed", namespace: str = "etl-jobs", **more: Any) -> bool:
        root = write(pod_policies.airflow.dags, {"team_a/dags/x.py": dag("team_a_x", IMPORT + task)})
        answer = pod_policies.ask(
            "end", root=str(root), dag_id="team_a_x", task_id="job", phase=phase, namespace=namespace, **more
        )
        return bool(answer["deleted"])

    return make


OVER_TWO = 'KubernetesPodOperator.partial(task_id="job", image="i"{0}).expand(arguments=[["a"], ["b"]])'


@pytest.mark.parametrize("task", [operator(), SUBCLASS, DECORATED], ids=["operator", "subclass", "decorator"])
def test_a_pod_that_failed_stays_to_be_read(deleted: Callable[..., bool], task: str) -> None:
    assert not deleted(task)


@pytest.mark.parametrize("phase", ["Succeeded", "Running", "Pending", "Unknown"])
def test_every_other_pod_goes(deleted: Callable[..., bool], phase: str) -> None:
    """One that never started, or that the task lost sight of, would run beside the next try."""
    assert deleted(operator(), phase)


def test_a_pod_of_a_mapped_task_stays_too(deleted: Callable[..., bool]) -> None:
    assert not deleted(OVER_TWO.format(""), mapped={"arguments": ["a"]})
    assert deleted(OVER_TWO.format(', on_finish_action="delete_pod"'), mapped={"arguments": ["a"]})


@pytest.mark.parametrize(
    "task",
    [
        operator('on_finish_action="delete_pod"'),
        operator('default_args={"on_finish_action": "delete_pod"}'),
        operator('cluster_context="elsewhere"'),
        operator('config_file="/elsewhere"'),
        operator('kubernetes_conn_id="elsewhere"'),
        operator("in_cluster=False"),
        operator("random_name_suffix=False"),
    ],
    ids=[
        "its author",
        "the author's default",
        "another cluster",
        "another cluster's file",
        "another connection",
        "not in the cluster",
        "a name that the next try needs",
    ],
)
def test_what_its_author_said_holds_and_other_clusters_are_not_ours_to_fill(
    deleted: Callable[..., bool], task: str
) -> None:
    assert deleted(task)


def test_a_retry_that_finds_a_dead_pod_makes_another_one(deleted: Callable[..., bool]) -> None:
    """The operator takes what it may not delete for its own, and the retry would run nothing."""
    assert deleted(operator(), retry=True)


@pytest.mark.parametrize(("exit_code", "goes"), [(0, True), (1, False), (None, False)])
def test_the_authors_container_says_whether_it_failed(
    deleted: Callable[..., bool], exit_code: int | None, goes: bool
) -> None:
    """A sidecar that failed makes the pod a failed one; one that was evicted says nothing of its containers."""
    assert deleted(operator(), base=exit_code) is goes


def test_elsewhere_nothing_would_clean_up(deleted: Callable[..., bool]) -> None:
    assert deleted(operator('namespace="other"'), namespace="other")
