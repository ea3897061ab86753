"""What may connect to what: the tables below are all that is open, in every case that is deployed or could be.

Policies are our chart's, pods are those of both charts. `tests/policy/connections.py` decides; its own tests are first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pytest
import yaml

from scripts.manage.layers.chart import archive
from scripts.manage.layers.environments import NAMESPACE, ON_TOP_OF
from tests.helpers.charts import (
    CASES,
    OUR_CHART,
    Case,
    Manifest,
    Refused,
    manifests,
    ours,
    template,
)
from tests.helpers.facts import take
from tests.helpers.inventory import inventory, official_facts
from tests.helpers.workloads import Inventory, Workload
from tests.policy.connections import End, Network, NotAPolicy, Outside, Pod, Policy, Port, directions

JOBS = "etl-jobs"

# --- the evaluator ------------------------------------------------------------------------------------------------------

WEB = Pod("web", "shop", {"app": "web"}, (Port(8080, name="http"), Port(9000)))
CLIENT = Pod("client", "shop", {"app": "client", "role": "reader"})
TWIN = Pod("twin", "elsewhere", {"app": "client", "role": "reader"}, address="10.1.0.9")
ADDRESS = Outside("address", "203.0.113.9")


def policy(text: str, selects: str = "{matchLabels: {app: web}}", namespace: str = "shop") -> Policy:
    spec = {"podSelector": yaml.safe_load(selects), **yaml.safe_load(text)}
    return {"metadata": {"name": "p", "namespace": namespace}, "spec": spec}


def shop(*policies: Policy) -> Network:
    return Network(list(policies), "shop", {"elsewhere": {"team": "red"}})


@pytest.mark.parametrize(
    ("peer", "lets_in"),
    [
        ("{podSelector: {matchLabels: {app: client}}}", {CLIENT}),  # of the policy's namespace only
        ("{podSelector: {}}", {CLIENT}),
        ("{namespaceSelector: {}}", {CLIENT, TWIN}),
        ("{namespaceSelector: {matchLabels: {team: red}}}", {TWIN}),
        ("{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: elsewhere}}}", {TWIN}),
        ("{namespaceSelector: {}, podSelector: {matchLabels: {app: other}}}", set()),  # both must match
        ("{podSelector: {matchExpressions: [{key: role, operator: In, values: [reader, writer]}]}}", {CLIENT}),
        ("{podSelector: {matchExpressions: [{key: role, operator: NotIn, values: [reader]}]}}", set()),
        ("{podSelector: {matchExpressions: [{key: zone, operator: NotIn, values: [a]}]}}", {CLIENT}),  # no such label
        ("{podSelector: {matchExpressions: [{key: role, operator: Exists}]}}", {CLIENT}),
        ("{podSelector: {matchExpressions: [{key: role, operator: DoesNotExist}]}}", set()),
        ("{podSelector: {matchLabels: {app: client}, matchExpressions: [{key: role, operator: DoesNotExist}]}}", set()),
        ("{ipBlock: {cidr: 0.0.0.0/0}}", {TWIN, ADDRESS}),  # a pod without an address stands for plugins that skip pods
        ("{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.8/31]}}", set()),
        ("{ipBlock: {cidr: '::/0'}}", set()),
    ],
)
def test_evaluator_peers(peer: str, lets_in: set[End]) -> None:
    network = shop(policy(f"ingress: [{{from: [{peer}]}}]"))
    assert {end for end in (CLIENT, TWIN, ADDRESS) if network.allows(end, WEB, 8080)} == lets_in


@pytest.mark.parametrize(
    ("ports", "opens"),
    [
        ("[]", {("TCP", 8080), ("TCP", 9000), ("UDP", 8080)}),
        ("[{port: 8080}]", {("TCP", 8080)}),  # TCP unless it says so
        ("[{port: 8080, protocol: UDP}]", {("UDP", 8080)}),
        ("[{port: http}]", {("TCP", 8080)}),
        ("[{port: http, protocol: UDP}, {port: web}]", set()),
        ("[{port: 8000, endPort: 9000}]", {("TCP", 8080), ("TCP", 9000)}),
        ("[{protocol: UDP}]", {("UDP", 8080)}),
    ],
)
def test_evaluator_ports(ports: str, opens: set[tuple[str, int]]) -> None:
    network = shop(policy(f"ingress: [{{ports: {ports}}}]"))
    tried = [("TCP", 8080), ("TCP", 9000), ("UDP", 8080)]
    assert {(protocol, port) for protocol, port in tried if network.allows(CLIENT, WEB, port, protocol)} == opens


def test_evaluator_isolation() -> None:
    client, web = "{matchLabels: {app: client}}", "{matchLabels: {app: web}}"
    out = policy("{policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}]}", client)
    assert shop().allows(CLIENT, WEB, 8080), "a pod that no policy selects is open"
    assert shop(out).allows(CLIENT, WEB, 8080) and not shop(out).allows(CLIENT, TWIN, 8080)
    assert not shop(out, policy("policyTypes: [Ingress]", web)).allows(CLIENT, WEB, 8080), "both ends must allow it"
    assert not shop(policy("policyTypes: [Egress]", client)).allows(CLIENT, WEB, 8080)
    assert shop(policy("policyTypes: [Egress]", client), out).allows(CLIENT, WEB, 8080), "policies add up"
    assert shop(policy("policyTypes: [Egress]", client, "elsewhere")).allows(CLIENT, WEB, 8080), "its namespace only"
    assert not shop(policy("ingress: []", web)).allows(CLIENT, WEB, 8080), "no rules: nobody"
    assert shop(policy("ingress: [{}]", web)).allows(CLIENT, WEB, 8080), "an empty rule: everybody"
    assert shop(policy("ingress: [{from: []}]", web)).allows(ADDRESS, WEB, 8080), "an empty list of peers: everybody"
    assert shop(policy("policyTypes: [Ingress, Egress]", web)).allows(WEB, WEB, 8080), "a pod reaches itself"


def test_evaluator_policy_types_default() -> None:
    assert directions(policy("{}")) == directions(policy("egress: []")) == {"ingress"}
    assert directions(policy("egress: [{}]")) == {"ingress", "egress"}
    assert directions(policy("{policyTypes: [Egress], ingress: [{}]}")) == {"egress"}


@pytest.mark.parametrize(
    "mistake",
    [
        "ingress: [{form: []}]",
        "ingress: [{from: [{}]}]",
        "ingress: [{from: [{podSelector: {app: web}}]}]",
        "ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]",
        "ingress: [{ports: [{port: http, endPort: 90}]}]",
        "egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [192.168.0.0/16]}}]}]",
        "policyTypes: [ingress]",
    ],
)
def test_evaluator_refuses_what_is_no_policy(mistake: str) -> None:
    with pytest.raises(NotAPolicy):
        shop(policy(mistake)).allows(TWIN, WEB, 8080) or shop(policy(mistake)).allows(CLIENT, WEB, 8080)


def test_evaluator_notices_two_common_mistakes() -> None:
    """`-` before podSelector makes two peers of one, and a list under `from` that was meant to be empty is everybody."""
    both = "ingress: [{from: [{namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchLabels: {app: x}}}]}]"
    either = both.replace(", podSelector", "}, {podSelector")
    assert not shop(policy(both)).allows(TWIN, WEB, 8080)
    assert shop(policy(either)).allows(TWIN, WEB, 8080)
    assert shop(policy("ingress: [{from: [], ports: [{port: 8080}]}]")).allows(TWIN, WEB, 8080)


# --- the pods -----------------------------------------------------------------------------------------------------------


def pods_of(found: Inventory) -> Iterator[Pod]:
    """Pods that are deployed, the Kubernetes executor's template included."""
    for workload in found.workloads:
        labels = workload.facts["labels"]
        name = "postgresql" if labels.get("app.kubernetes.io/name") == "postgresql" else labels["component"]
        yield Pod(name, workload.facts.get("namespace", NAMESPACE), labels, tuple(_ports(workload)))


def _ports(workload: Workload) -> Iterator[Port]:
    for container in workload.containers:
        for name, port in container.facts.get("ports", {}).items():
            number, _, protocol = str(port).partition("/")
            yield Port(int(number), protocol or "TCP", name)
        if "GITSYNC_HTTP_BIND" in container.env:  # git-sync's port is declared nowhere
            yield Port(int(container.env["GITSYNC_HTTP_BIND"].removeprefix(":")), name="git-sync")


def pods(case: Case) -> list[Pod]:
    """The pods of both charts in a case, by component; and a job's."""
    job = Pod("job", JOBS, {"app": "sales_eu", "dag_id": "sales_eu_daily"}, (Port(8080),))
    return [*pods_of(inventory(case)), job]


# What is around them. `copy` has the scheduler's labels in another namespace; `stranger` and `other-postgresql` are pods of
# somebody else in ours, with half of the labels.
OTHERS: tuple[End, ...] = (
    Pod("ingress", "ingress-nginx", {"app.kubernetes.io/name": "ingress-nginx"}, (Port(8443),)),
    Pod("monitoring", "monitoring", {"app.kubernetes.io/name": "prometheus"}, (Port(9090),)),
    Pod(
        "application-database",
        "databases",
        {"app.kubernetes.io/name": "postgresql", "app.kubernetes.io/instance": "airflow"},
        (Port(5432),),
    ),
    Pod("coredns", "kube-system", {"k8s-app": "kube-dns"}, (Port(53), Port(53, "UDP"))),
    Pod("copy", "elsewhere", {"tier": "airflow", "component": "scheduler", "release": "airflow"}, (Port(8793),)),
    Pod(
        "stranger",
        NAMESPACE,
        {"component": "scheduler", "app.kubernetes.io/instance": "airflow"},
        (Port(8080), Port(5432)),
    ),
    Pod(
        "other-postgresql",
        NAMESPACE,
        {"app.kubernetes.io/name": "postgresql", "app.kubernetes.io/instance": "shop"},
        (Port(5432),),
    ),
    Outside("node-local-dns", "169.254.20.10", (Port(53), Port(53, "UDP"))),
    Outside("public-dns", "8.8.8.8", (Port(53), Port(53, "UDP"))),
    Outside("s3", "52.218.0.1", (Port(443),)),
    Outside("kubernetes-api", "10.0.3.4", (Port(6443),)),
    Outside("git", "140.82.121.4", (Port(22),)),
    Outside("rds", "10.0.12.34", (Port(5432),)),
    Outside("broker", "10.0.9.9", (Port(6379),)),
    Outside("smtp", "142.250.1.1", (Port(587),)),
    Outside("ldap", "10.0.7.8", (Port(636),)),
    Outside("public-database", "198.51.100.7", (Port(5432),)),
    Outside("node-metadata", "169.254.169.254", (Port(53, "UDP"), Port(80), Port(443))),
    Outside("pod-identity", "169.254.170.23", (Port(80),)),
    Outside("load-balancer", "10.0.5.6"),
)


def ends(case: Case, addresses: bool) -> dict[str, End]:
    """All by name, with or without addresses of pods (see connections.Pod)."""
    given = [*pods(case), *OTHERS]
    if addresses:
        given = [
            Pod(end.name, end.namespace, end.labels, end.ports, f"10.42.{number}.5") if isinstance(end, Pod) else end
            for number, end in enumerate(given)
        ]
    by_name = {end.name: end for end in given}
    assert len(by_name) == len(given), "two pods of one component: the tables could not tell them apart"
    return by_name


def policies(manifests_: Iterable[Manifest]) -> list[Policy]:
    return [manifest for manifest in manifests_ if manifest["kind"] == "NetworkPolicy"]


def network(case: Case) -> Network:
    """Ours are all there are: test_the_official_chart_makes_no_policy."""
    return Network(policies(ours(case)), NAMESPACE)


# --- the tables ---------------------------------------------------------------------------------------------------------

# What must work, and (but for ALSO_OPEN) nothing else does. A line holds in cases that have all the layers before the colon (`!`: have it not).
# "a, b -> c:1, d:2/UDP" is four connections. A name that a case does not have is an error, unless it ends in `?`.
NEEDED = """
: scheduler, dag-processor, triggerer -> api-server:8080
: ingress -> api-server:8080
: api-server -> triggerer:8794
: scheduler, dag-processor, triggerer, api-server, run-airflow-migrations, create-user-job?, database-cleanup -> statsd:9125/UDP
: monitoring -> statsd:9102
: scheduler, dag-processor, triggerer, api-server, job -> s3:443
: scheduler, triggerer -> kubernetes-api:6443
: scheduler, dag-processor, triggerer, api-server, job -> coredns:53, coredns:53/UDP, node-local-dns:53, node-local-dns:53/UDP
: run-airflow-migrations, create-user-job?, database-cleanup -> coredns:53, coredns:53/UDP, node-local-dns:53, node-local-dns:53/UDP

cloud: scheduler, dag-processor, triggerer, api-server -> pgbouncer:6543
cloud: run-airflow-migrations, create-user-job?, database-cleanup -> pgbouncer:6543
cloud: pgbouncer -> rds:5432, coredns:53, coredns:53/UDP, node-local-dns:53, node-local-dns:53/UDP
cloud: monitoring -> pgbouncer:9127
cloud: scheduler, dag-processor, triggerer, api-server, job -> pod-identity:80

pi: scheduler, dag-processor, triggerer, api-server -> postgresql:5432
pi: run-airflow-migrations, create-user-job?, database-cleanup -> postgresql:5432
pi: triggerer, job -> application-database:5432
pi local: scheduler -> application-database:5432
pi celery: worker -> application-database:5432, postgresql:5432
pi kubernetes: worker -> application-database:5432

local: api-server -> scheduler:8793

celery: worker -> api-server:8080, statsd:9125/UDP, s3:443, kubernetes-api:6443
celery: worker -> coredns:53, coredns:53/UDP, node-local-dns:53, node-local-dns:53/UDP
celery !own-broker: worker, scheduler -> redis:6379
own-broker: worker, scheduler -> broker:6379
celery: api-server -> worker:8793
celery cloud: worker -> pgbouncer:6543, pod-identity:80
flower: ingress -> flower:5555
flower: flower -> redis:6379, pgbouncer:6543, statsd:9125/UDP, coredns:53, coredns:53/UDP, node-local-dns:53, node-local-dns:53/UDP

kubernetes: worker -> api-server:8080, statsd:9125/UDP, s3:443, kubernetes-api:6443
kubernetes: worker -> coredns:53, coredns:53/UDP, node-local-dns:53, node-local-dns:53/UDP
kubernetes: api-server -> kubernetes-api:6443
kubernetes cloud: worker -> pod-identity:80

: job-cleanup -> s3:443, kubernetes-api:6443
s3-sync: dag-adopter -> s3:443, coredns:53, coredns:53/UDP, node-local-dns:53, node-local-dns:53/UDP
s3-sync cloud: dag-adopter -> pod-identity:80
s3-sync: monitoring -> dag-processor:9101, dag-adopter:9104
s3-sync local: monitoring -> scheduler:9101
s3-sync celery: monitoring -> worker:9101

git-sync: scheduler, dag-processor, triggerer -> git:22
git-sync celery: worker -> git:22
git-sync kubernetes: worker -> git:22
git-bundle: scheduler, dag-processor, triggerer -> git:22
git-bundle celery: worker -> git:22
git-bundle kubernetes: worker -> git:22

smtp: triggerer, dag-processor -> smtp:587
smtp celery: worker -> smtp:587
sign-in-ldap: api-server -> ldap:636
"""

# With plugins that match pods by their address too: the private addresses of networkPolicies.database are also pods'.
ALSO_OPEN = """
cloud: pgbouncer -> application-database:5432, stranger:5432, other-postgresql:5432
"""

# The promises, one by one; the closed table above holds them all, this one says them. `everyone`: each pod of both charts and the job.
FORBIDDEN = """
: everyone -> node-metadata:80, node-metadata:443
: job, copy, stranger, application-database -> api-server:8080, statsd:9125/UDP, triggerer:8794
: statsd -> s3:443, coredns:53/UDP, api-server:8080, kubernetes-api:6443
: dag-processor -> application-database:5432, kubernetes-api:6443
: monitoring, load-balancer, s3, kubernetes-api -> api-server:8080
: ingress, job, copy, stranger, scheduler -> statsd:9102
: scheduler, triggerer, dag-processor, api-server, job -> rds:5432, stranger:8080
!smtp: scheduler, triggerer, dag-processor -> smtp:587
: api-server, job -> smtp:587
!sign-in-ldap: api-server -> ldap:636
: scheduler, triggerer, dag-processor, api-server, monitoring, ingress, copy, stranger -> job:8080
: run-airflow-migrations, create-user-job?, database-cleanup -> s3:443, api-server:8080, kubernetes-api:6443
local: dag-processor, job, ingress, copy, stranger -> scheduler:8793
cloud: job, copy, stranger, statsd, ingress, application-database, monitoring -> pgbouncer:6543
cloud: ingress, job, copy, stranger, scheduler -> pgbouncer:9127
cloud: pgbouncer -> s3:443, smtp:587, public-database:5432
cloud: scheduler, triggerer, job -> application-database:5432
pi: job, copy, stranger, statsd, ingress, application-database, monitoring -> postgresql:5432
pi: postgresql -> s3:443, coredns:53/UDP, application-database:5432
pi: scheduler, dag-processor, triggerer -> other-postgresql:5432
pi: scheduler, dag-processor, job -> pod-identity:80
celery !own-broker: triggerer, dag-processor, api-server, job, copy, stranger, statsd -> redis:6379
own-broker: triggerer, dag-processor, api-server, job -> broker:6379
celery !own-broker: redis -> s3:443, coredns:53/UDP, worker:8793
celery: ingress, job, copy, scheduler, monitoring -> worker:8793
kubernetes cloud: worker -> pgbouncer:6543, rds:5432
s3-sync: ingress, job, copy, stranger, api-server -> dag-processor:9101
s3-sync: dag-adopter -> pgbouncer:6543, api-server:8080, statsd:9125/UDP
s3-sync: scheduler, dag-processor, triggerer -> git:22
git-sync: ingress, job, copy, stranger, api-server -> dag-processor:1234
"""

Connection = tuple[str, str, int, str]


def table(text: str, case: Case, names: Iterable[str]) -> list[Connection]:
    """Connections of the lines that hold in a case."""
    layers = {
        layer.rpartition("/")[2] for layer in (*case.layers, *(ON_TOP_OF.get(layer, "") for layer in case.layers))
    }
    everyone = [name for name in names if name not in {other.name for other in OTHERS}]
    connections = []
    for line in filter(None, text.splitlines()):
        conditions, _, rest = line.partition(":")
        if any((word.removeprefix("!") in layers) == word.startswith("!") for word in conditions.split()):
            continue
        sources, targets = (side.split(", ") for side in rest.strip().split(" -> "))
        sources = [name.removesuffix("?") for name in sources if not name.endswith("?") or name[:-1] in names]
        for source in everyone if sources == ["everyone"] else sources:
            for target in targets:
                to, _, port = target.partition(":")
                number, _, protocol = port.partition("/")
                assert {source, to} <= set(names), f"{source} -> {to}: not in {case}; say in which cases the line holds"
                connections.append((source, to, int(number), protocol or "TCP"))
    twice = {row for row in connections if connections.count(row) > 1}
    assert not twice, f"twice in a table:\n{lines(twice)}"
    return connections


def open_connections(net: Network, by_name: dict[str, End]) -> set[Connection]:
    """Of and to our pods, on each port that anybody listens on."""
    own = set(by_name) - {other.name for other in OTHERS}
    return {
        (source, to, port.number, port.protocol)
        for source, from_end in by_name.items()
        for to, end in by_name.items()
        if source != to and (source in own or to in own)
        for port in end.ports
        if net.allows(from_end, end, port.number, port.protocol)
    }


def lines(connections: Iterable[Connection]) -> str:
    return "\n".join(f"  {source} -> {to}:{port}/{protocol}" for source, to, port, protocol in sorted(connections))


# --- the policies -------------------------------------------------------------------------------------------------------


in_each_case = pytest.mark.parametrize("case", CASES, ids=str)


@in_each_case
def test_what_is_needed_is_open(case: Case) -> None:
    """Also with plugins for which an ipBlock is never a pod."""
    by_name = ends(case, addresses=False)
    needed = set(table(NEEDED, case, by_name))
    assert len(needed) > 50
    assert not (shut := needed - open_connections(network(case), by_name)), f"shut in {case}:\n{lines(shut)}"


@in_each_case
def test_nothing_else_is_open(case: Case) -> None:
    """Also with plugins for which an ipBlock is any pod with such an address."""
    by_name = ends(case, addresses=True)
    wanted = {*table(NEEDED, case, by_name), *table(ALSO_OPEN, case, by_name)}
    assert not (wide := open_connections(network(case), by_name) - wanted), f"open in {case}:\n{lines(wide)}"


@in_each_case
def test_what_is_forbidden_is_closed(case: Case) -> None:
    by_name, net = ends(case, addresses=True), network(case)
    forbidden = table(FORBIDDEN, case, by_name)
    unheard = {
        f"{to}:{port}"
        for _, to, port, protocol in forbidden
        if not any((p.number, p.protocol) == (port, protocol) for p in by_name[to].ports)
    }
    assert not unheard, f"nobody listens there, so that the line says nothing: {unheard}"
    wide = {row for row in forbidden if net.allows(by_name[row[0]], by_name[row[1]], row[2], row[3])}
    assert not wide, f"open in {case}:\n{lines(wide)}"


def test_the_tables_can_fail() -> None:
    """Without policies everything forbidden is open; with only the default deny everything needed is shut."""
    case = CASES[0]
    by_name = ends(case, addresses=False)
    deny = [p for p in policies(ours(case)) if p["metadata"]["name"].endswith("default-deny")]
    assert set(table(FORBIDDEN, case, by_name)) <= open_connections(Network([], NAMESPACE), by_name) | {
        row for row in table(FORBIDDEN, case, by_name) if isinstance(by_name[row[0]], Outside)
    }
    left = open_connections(Network(deny, NAMESPACE), by_name)
    assert {source for source, *_ in left} <= {"job", *(other.name for other in OTHERS)}


@in_each_case
def test_the_default_deny_selects_every_pod(case: Case) -> None:
    net = network(case)
    deny = Network(
        [
            p
            for p in net.policies
            if not p["spec"].get("ingress")
            and p["metadata"]["name"] in ("airflow-default-deny", "airflow-postgresql-default-deny", "jobs")
        ],
        NAMESPACE,
    )
    open_ = {
        f"{pod.name} {direction}"
        for pod in pods(case)
        for direction in ("ingress", "egress")
        if not deny.selecting(pod, direction)
    }
    assert len(pods(case)) > 8
    assert not open_, f"no default deny in {case}: {open_}"
    rules = [
        p["metadata"]["name"] for p in deny.policies if p["spec"].get("egress") and p["metadata"]["name"] != "jobs"
    ]
    assert not rules, f"a default deny that opens something: {rules}"


@in_each_case
def test_every_port_of_a_rule_is_a_port_of_its_pods(case: Case) -> None:
    """A mistyped number would close a connection on one side, or open one to nothing."""
    net, all_pods = network(case), pods(case)
    unknown, seen = set(), 0
    for policy_ in net.policies:
        name = policy_["metadata"]["name"]
        selected = [pod for pod in all_pods if policy_ in net.selecting(pod, "ingress")]
        for rule in policy_["spec"].get("ingress") or []:
            unknown |= {f"{name}: into {pod.name} on {port}" for pod in selected for port in missing(rule, pod)}
            seen += len(selected)
        for rule in policy_["spec"].get("egress") or []:
            for peer in rule["to"]:
                meant = [pod for pod in all_pods if "namespaceSelector" not in peer and net.is_peer(policy_, peer, pod)]
                unknown |= {f"{name}: out to {pod.name} on {port}" for pod in meant for port in missing(rule, pod)}
                seen += len(meant)
    assert seen > 20
    assert not unknown, f"in {case}: {sorted(unknown)}"


def missing(rule: Manifest, pod: Pod) -> list[str]:
    listens = {(port.number, port.protocol) for port in pod.ports}
    return [f"{p['port']}/{p['protocol']}" for p in rule["ports"] if (p["port"], p["protocol"]) not in listens]


@in_each_case
def test_every_policy_selects_a_pod(case: Case) -> None:
    """But for what the official chart has as an option."""
    net, all_pods = network(case), pods(case)
    idle = {
        p["metadata"]["name"]
        for p in net.policies
        if not any(p in net.selecting(pod, d) for pod in all_pods for d in directions(p))
    }
    assert idle <= {
        "airflow-flower",
        "airflow-cleanup-pods",
        "airflow-create-user-job",
        "airflow-postgresql-default-deny",
    }


@in_each_case
def test_the_official_chart_makes_no_policy(case: Case) -> None:
    """Its own deny the api-server to everyone by default; traps 4 and 5."""
    assert not [other for other in official_facts(case)["others"] if other.startswith("NetworkPolicy/")]


@pytest.mark.parametrize("case", [case for case in CASES if case.of("executor") == "kubernetes"], ids=str)
def test_task_pods_do_not_wait_for_a_database_that_they_may_not_reach(case: Case) -> None:
    """The image's entrypoint runs `airflow db check` twenty times and gives up, apache/airflow#60271."""
    assert inventory(case).workload("Pod/task").container("base").env["CONNECTION_CHECK_MAX_COUNT"] == "0"


def with_values(case: Case, *settings: str) -> Network:
    """Our chart's policies, with settings as `--set-json` takes them."""
    arguments = [argument for setting in settings for argument in ("--set-json", f"networkPolicies.{setting}")]
    return Network(policies(manifests(template("airflow-platform", OUR_CHART, case.our_files, *arguments))), NAMESPACE)


def case_named(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def changed(case: Case, *settings: str) -> tuple[set[str], set[str]]:
    """Connections that settings open, and that they shut."""
    by_name = ends(case, addresses=False)
    before, after = (open_connections(net, by_name) for net in (network(case), with_values(case, *settings)))
    opened, shut = after - before, before - after
    return {f"{s} -> {t}:{p}" for s, t, p, _ in opened}, {f"{s} -> {t}:{p}" for s, t, p, _ in shut}


POD_IDENTITY = ("scheduler", "dag-processor", "triggerer", "api-server", "dag-adopter", "job")
RUNNERS = (*POD_IDENTITY, "job-cleanup")
API = {f"{end} -> kubernetes-api:6443" for end in ("scheduler", "triggerer", "job-cleanup")}


@pytest.mark.parametrize(
    ("settings", "opens", "shuts"),
    [
        (["ingressNamespaces=[]"], set(), {"ingress -> api-server:8080"}),  # an empty list in a policy would be everyone
        (["monitoringNamespaces=[]"], set(), {"monitoring -> statsd:9102", "monitoring -> dag-adopter:9104", "monitoring -> pgbouncer:9127", "monitoring -> dag-processor:9101", "monitoring -> scheduler:9101"}),
        (["database.cidrs=[]"], set(), {"pgbouncer -> rds:5432"}),
        (["internet=[]", "kubernetesApiPort=443"], set(), {*(f"{end} -> s3:443" for end in RUNNERS), *API}),
        (["kubernetesApiPort=443"], set(), API),
        (["podIdentity=false"], set(), {f"{end} -> pod-identity:80" for end in POD_IDENTITY}),
        (['ingressCidrs=["10.0.5.0/24"]'], {"load-balancer -> api-server:8080"}, set()),
        (['ingressNamespaces=["elsewhere"]'], {"copy -> api-server:8080"}, {"ingress -> api-server:8080"}),
        (['tasks.egress={"smtp":{"cidrs":["142.250.0.0/16"],"ports":[587]}}'], {"scheduler -> smtp:587", "triggerer -> smtp:587"}, set()),
        (['dagProcessor.egress={"smtp":{"cidrs":["142.250.0.0/16"],"ports":[587]}}'], {"dag-processor -> smtp:587"}, set()),
        (['apiServer.egress={"ldap":{"cidrs":["142.250.0.0/16"],"ports":[587]}}'], {"api-server -> smtp:587"}, set()),
        (['store.egress={"x":{"namespaces":["databases"],"ports":[5432]}}'], {f"{end} -> application-database:5432" for end in POD_IDENTITY if end != "job"}, set()),
        (['jobs.egress={"x":{"cidrs":["0.0.0.0/0"],"ports":[80,587]}}'], {"job -> smtp:587"}, set()),  # not node-metadata:80
        (['jobs.egress={"x":{"namespaces":["databases"],"ports":[5432]},"y":null}'], {"job -> application-database:5432"}, set()),
    ],
)  # fmt: skip
def test_a_setting_opens_and_shuts_what_it_says(settings: list[str], opens: set[str], shuts: set[str]) -> None:
    assert changed(case_named("prod"), *settings) == (opens, shuts)


SFTP = '{"egress":{"sftp":{"cidrs":["142.250.0.0/16"],"ports":[587]}}}'


@pytest.mark.parametrize("name", ["prod", "image-kubernetes"])
def test_what_one_package_needs_is_open_to_its_pods_alone(name: str) -> None:
    """Its job pods, and where each task has a pod of its own, those; a neighbour's pods and Airflow's own are none of it."""
    case = case_named(name)
    net, smtp = with_values(case, f'packages={{"sales":{SFTP}}}'), ends(case, addresses=False)["smtp"]
    task = next((pod.labels for pod in pods(case) if pod.labels.get("component") == "worker"), None)

    def reaches(package: str, namespace: str, labels: Mapping[str, str]) -> bool:
        pod = Pod(package, namespace, {**labels, "app": package})
        return net.allows(pod, smtp, 587) and net.allows(pod, ends(case, addresses=False)["s3"], 443)

    assert reaches("sales", "etl-jobs", {}) and not reaches("finance", "etl-jobs", {})
    if task:
        assert reaches("sales", NAMESPACE, task) and not reaches("finance", NAMESPACE, task)
    opened, _ = changed(case, f'packages={{"sales":{SFTP}}}')
    assert opened <= {"job -> smtp:587"}


def test_a_broker_of_ones_own_takes_the_place_of_redis() -> None:
    """The scheduler and the workers reach it, and nobody reaches the chart's Redis, which is not there."""
    opened, shut = changed(
        case_named("s3-sync-celery"), 'broker.egress={"x":{"namespaces":["databases"],"ports":[5432]}}'
    )
    assert opened == {f"{end} -> application-database:5432" for end in ("scheduler", "worker")}
    assert shut == {f"{end} -> redis:6379" for end in ("scheduler", "worker")}


def test_switched_off_there_are_none() -> None:
    assert policies(ours(case_named("pi"))) and not with_values(case_named("pi"), "enabled=false").policies


def test_the_cleanup_of_task_pods_is_thought_of() -> None:
    """An option of the official chart that no layer takes."""
    case = case_named("image-kubernetes")
    by_name, chart = ends(case, addresses=False), archive()
    if chart is None:
        pytest.skip("the official chart's archive is not here (make tools)")
    optional = Inventory(
        "cleanup", take(manifests(template("airflow", chart, case.files, "--set", "cleanup.enabled=true")))
    )
    pod = by_name["cleanup"] = next(pod for pod in pods_of(optional) if pod.name == "airflow-cleanup-pods")
    reaches = {
        f"{to}:{port}" for source, to, port, _ in open_connections(network(case), by_name) if source == "cleanup"
    }
    assert reaches == {
        "pgbouncer:6543",
        "statsd:9125",
        "s3:443",
        "kubernetes-api:6443",
        "coredns:53",
        "node-local-dns:53",
    }
    assert network(case).selecting(pod, "ingress")


@pytest.mark.parametrize(
    "setting",
    [
        'ingressNamespace="x"',
        'database.cidr="10.0.0.0/8"',
        'database.service="mysql"',
        "kubernetesApiPort=70000",
        'internet=[{"cidr":"10.0.0.0/8","exept":[]}]',
        'ingressCidrs=["10.0.0.1"]',
        'jobs.egress={"x":{"namespace":"databases","ports":[5432]}}',
        # These would open everything: an empty list of peers or of ports is all of them.
        'tasks.egress={"x":{"ports":[5432]}}',
        'jobs.egress={"x":{"namespaces":[],"ports":[5432]}}',
        'jobs.egress={"x":{"namespaces":["databases"],"ports":[]}}',
    ],
)
def test_a_mistyped_setting_is_refused(setting: str) -> None:
    with pytest.raises(Refused, match="networkPolicies"):
        with_values(case_named("dev"), setting)
