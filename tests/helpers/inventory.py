"""The facts of a render in a form that is read, compared and kept: tests/render/inventory/<case>.yaml.

The policies in tests/policy look at inventories only. With the chart archive at hand an inventory is taken from a fresh
render (and one that differs from the kept one fails); without it the kept one is read.
"""

from __future__ import annotations

import configparser
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from scripts.layers.chart import archive, versions
from scripts.layers.environments import NAMESPACE, ROOT
from tests.helpers.charts import ENVIRONMENTS, KUBE_VERSION, Case, content_sha256, official, ours

KEPT = ROOT / "tests" / "render" / "inventory"
POD_TEMPLATE = "pod_template_file.yaml"
Facts = dict[str, Any]


# --- taking -------------------------------------------------------------------------------------------------------------


def take(manifests: Iterable[Facts]) -> Facts:
    """The facts of rendered objects, in a form that YAML keeps as it is. Values of secrets are not in it."""
    facts: Facts = {"workloads": {}, "claims": {}, "serviceAccounts": {}, "secrets": {}, "services": {}, "others": []}
    for manifest in manifests:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        if _pod_of(manifest) is not None:
            facts["workloads"][f"{kind}/{name}"] = _workload(manifest)
            for claim in manifest["spec"].get("volumeClaimTemplates", []):
                facts["claims"][f"{name}/{claim['metadata']['name']}"] = {**_claim(claim), "perPod": True}
        elif kind == "PersistentVolumeClaim":
            facts["claims"][name] = _claim(manifest)
        elif kind == "ServiceAccount":
            annotations = manifest["metadata"].get("annotations", {})
            account = {"automount": manifest.get("automountServiceAccountToken", True), **annotations}
            facts["serviceAccounts"][_full_name(manifest)] = account
        elif kind == "Secret":
            keys = sorted([*(manifest.get("data") or {}), *(manifest.get("stringData") or {})])
            facts["secrets"][name] = {"keys": keys, "hook": _hook(manifest)}
        elif kind == "Service":
            facts["services"][name] = {
                p.get("name", p["port"]): f"{p['port']}/{p.get('protocol', 'TCP')}" for p in manifest["spec"]["ports"]
            }
        elif kind == "Ingress":
            facts["ingress"] = _ingress(manifest)
        elif kind == "PodDisruptionBudget":
            spec = manifest["spec"]
            budget = {key: spec[key] for key in ("minAvailable", "maxUnavailable") if key in spec}
            facts.setdefault("disruptionBudgets", {})[name] = {**budget, "selects": spec["selector"]["matchLabels"]}
        elif kind == "HorizontalPodAutoscaler":
            spec = manifest["spec"]
            target = f"{spec['scaleTargetRef']['kind']}/{spec['scaleTargetRef']['name']}"
            facts.setdefault("autoscalers", {})[target] = {"from": spec["minReplicas"], "to": spec["maxReplicas"]}
        elif kind in ("RoleBinding", "ClusterRoleBinding"):
            subjects = [f"{s.get('namespace', '')}/{s['name']}".lstrip("/") for s in manifest.get("subjects") or []]
            facts.setdefault("roleBindings", {})[f"{_full_name(manifest)} to {manifest['roleRef']['name']}"] = subjects
        elif kind in ("Role", "ClusterRole"):
            facts.setdefault("roles", {})[_full_name(manifest)] = _rules(manifest)
        elif kind == "ConfigMap" and "airflow.cfg" in manifest.get("data", {}):
            facts["airflow.cfg"] = _airflow_cfg(manifest["data"]["airflow.cfg"])
            if POD_TEMPLATE in manifest["data"]:
                template = yaml.safe_load(manifest["data"][POD_TEMPLATE])
                facts["workloads"]["Pod/task"] = _workload(template)
        else:
            facts["others"].append(f"{kind}/{_full_name(manifest)}")
    facts["others"].sort()
    return {key: value for key, value in facts.items() if value}


def _full_name(manifest: Facts) -> str:
    namespace = manifest["metadata"].get("namespace", NAMESPACE)
    return ("" if namespace == NAMESPACE else f"{namespace}/") + str(manifest["metadata"]["name"])


def _hook(manifest: Facts) -> str | None:
    return (manifest["metadata"].get("annotations") or {}).get("helm.sh/hook")


def _pod_of(manifest: Facts) -> Facts | None:
    """The pod's metadata and spec of anything that makes pods."""
    if manifest["kind"] == "Pod":
        return manifest
    spec = manifest.get("spec") or {}
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    template = spec.get("template")
    return template if isinstance(template, dict) and "spec" in template else None


def _workload(manifest: Facts) -> Facts:
    pod, spec = _pod_of(manifest) or {}, manifest.get("spec") or {}
    of_pod = pod["spec"]
    annotations = {
        k: v
        for k, v in (pod["metadata"].get("annotations") or {}).items()
        if not k.startswith("checksum/") and k != "airflow-platform/delivery"  # carries the refusals, tells nothing new
    }
    names = [c["name"] for c in (of_pod.get("initContainers") or []) + of_pod["containers"]]
    facts: Facts = {
        "namespace": manifest["metadata"].get("namespace"),
        "labels": {k: v for k, v in pod["metadata"]["labels"].items() if "chart" not in k},
        "annotations": annotations,
        "checksums": sorted(
            k.removeprefix("checksum/") for k in pod["metadata"].get("annotations") or {} if k.startswith("checksum/")
        ),
        "replicas": spec.get("replicas"),
        "strategy": spec.get("strategy") or spec.get("updateStrategy"),
        "schedule": spec.get("schedule"),
        "hook": _hook(manifest),
        "serviceAccount": of_pod.get("serviceAccountName"),
        "automount": of_pod.get("automountServiceAccountToken"),
        "serviceLinks": of_pod.get("enableServiceLinks"),
        "graceSeconds": of_pod.get("terminationGracePeriodSeconds"),
        "restart": of_pod.get("restartPolicy"),
        "nodes": of_pod.get("nodeSelector"),
        "security": of_pod.get("securityContext"),
        "host": [key for key in ("hostNetwork", "hostPID", "hostIPC") if of_pod.get(key)],
        "volumes": [_volume(v) for v in of_pod.get("volumes") or []],
        "containers": {},
    }
    for role, containers in (("init", of_pod.get("initContainers") or []), ("main", of_pod["containers"])):
        for container in containers:
            actual = "sidecar" if role == "init" and container.get("restartPolicy") == "Always" else role
            facts["containers"][container["name"]] = _container(container, actual)
    if len(names) != len(set(names)):
        facts["duplicates"] = sorted({n for n in names if names.count(n) > 1})
    return _without_nothing(facts)


def _container(container: Facts, role: str) -> Facts:
    probes = {
        kind: _probe(container[f"{kind}Probe"])
        for kind in ("startup", "readiness", "liveness")
        if f"{kind}Probe" in container
    }
    resources = container.get("resources") or {}
    words = [*(container.get("command") or []), *(container.get("args") or [])]
    return _without_nothing({
        "role": role,
        "image": container["image"],
        "runs": re.sub(r"\s+", " ", " ".join(map(str, words)))[:120].strip(),
        "mounts": [_mount(m) for m in container.get("volumeMounts") or []],
        "requests": resources.get("requests"),
        "limits": resources.get("limits"),
        "probes": probes,
        "ports": {p.get("name", str(p["containerPort"])): _port(p) for p in container.get("ports") or []},
        "env": sorted(_variable(e) for e in container.get("env") or []),
        "envFrom": [_reference(e) for e in container.get("envFrom") or []],
        "security": container.get("securityContext"),
    })  # fmt: skip


def _port(port: Facts) -> int | str:
    number: int = port["containerPort"]
    return number if port.get("protocol", "TCP") == "TCP" else f"{number}/{port['protocol']}"


def _probe(probe: Facts) -> Facts:
    kind = next(k for k in ("exec", "httpGet", "tcpSocket", "grpc") if k in probe)
    figures = {
        k: probe[k]
        for k in ("initialDelaySeconds", "periodSeconds", "timeoutSeconds", "failureThreshold")
        if k in probe
    }
    return {kind: probe[kind].get("path", probe[kind].get("port", "")) if kind != "exec" else "", **figures}


def _mount(mount: Facts) -> str:
    sub = f"#{mount['subPath']}" if "subPath" in mount else ""
    return f"{mount['name']}:{mount['mountPath']}{sub}{':ro' if mount.get('readOnly') else ''}"


def _volume(volume: Facts) -> Facts:
    kind = next((k for k in volume if k != "name"), "emptyDir")
    source = volume.get(kind) or {}
    name = source.get("claimName") or source.get("secretName") or source.get("name")
    items = [item["path"] for item in source.get("items") or []]
    kept = {
        "name": volume["name"],
        kind: name,
        "sizeLimit": source.get("sizeLimit"),
        "readOnly": source.get("readOnly"),
        "items": items,
    }
    return {k: v for k, v in kept.items() if k == kind or v}


def _variable(variable: Facts) -> str:
    if "valueFrom" not in variable:
        return f"{variable['name']}={variable.get('value', '')}"
    kind, source = next(iter(variable["valueFrom"].items()))
    return f"{variable['name']} from {kind.removesuffix('KeyRef')} {source.get('name', '')}/{source.get('key', source.get('fieldPath'))}"


def _reference(source: Facts) -> str:
    kind, reference = next((k, v) for k, v in source.items() if k.endswith("Ref"))
    return f"{kind.removesuffix('Ref')} {reference['name']}{' if there' if reference.get('optional') else ''}"


def _claim(claim: Facts) -> Facts:
    spec = claim["spec"]
    return _without_nothing({
        "modes": spec["accessModes"], "class": spec.get("storageClassName"), "size": spec["resources"]["requests"]["storage"],
        "policy": (claim["metadata"].get("annotations") or {}).get("helm.sh/resource-policy"),
    })  # fmt: skip


def _ingress(manifest: Facts) -> Facts:
    spec = manifest["spec"]
    tls = {host: entry.get("secretName") for entry in spec.get("tls") or [] for host in entry["hosts"]}
    return {
        "class": spec.get("ingressClassName"),
        "hosts": {rule.get("host"): tls.get(rule.get("host")) for rule in spec["rules"]},
    }


def _rules(manifest: Facts) -> list[str]:
    return [f"{','.join(r['verbs'])} {','.join(r['resources'])}" for r in manifest.get("rules") or []]


def _airflow_cfg(text: str) -> Facts:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return {section: dict(parser[section]) for section in parser.sections()}


def _without_nothing(facts: Facts) -> Facts:
    return {key: value for key, value in facts.items() if value not in (None, "", [], {})}


def merge(*parts: Facts) -> Facts:
    """Facts of several charts as one."""
    merged: Facts = {}
    for part in parts:
        for key, value in part.items():
            if isinstance(value, dict):
                merged[key] = {**merged.get(key, {}), **value}
            else:
                merged[key] = [*merged.get(key, []), *value]
    return merged


# --- keeping ------------------------------------------------------------------------------------------------------------


class _Dumper(yaml.CSafeDumper):
    """Leaves on one line."""


def _short(value: Any) -> bool:
    return len(str(value)) < 150


def _mapping(dumper: Any, data: Facts) -> Any:
    return dumper.represent_mapping("tag:yaml.org,2002:map", data.items(), flow_style=_short(data))


def _sequence(dumper: Any, data: list[Any]) -> Any:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=_short(data))


_Dumper.add_representer(dict, _mapping)
_Dumper.add_representer(list, _sequence)


def dump(facts: Facts) -> str:
    """As kept. Environment variables that most containers share stand once, under `shared`."""
    lists = [tuple(c["env"]) for w in facts["workloads"].values() for c in w["containers"].values() if "env" in c]
    common = [
        v for v in dict.fromkeys(v for env in lists for v in env) if sum(v in env for env in lists) > len(lists) / 2
    ]
    compact = yaml.safe_load(yaml.safe_dump(facts, sort_keys=False))
    for workload in compact["workloads"].values():
        for container in workload["containers"].values():
            if "env" in container and set(common) <= set(container["env"]):
                container["env"] = ["$shared", *(v for v in container["env"] if v not in common)]
    return yaml.dump({"shared": common, **compact}, Dumper=_Dumper, sort_keys=False, width=160)


def kept(case: Case) -> Path:
    """Where a case's inventory is kept."""
    return KEPT / f"{case}.yaml"


def document(case: Case, facts: Facts, like: Facts) -> str:
    """The kept file: the digest of all that went in, and the facts that are not as in the environment `dev` (`like`)."""
    same = [f"workloads/{ref}" for ref, w in facts["workloads"].items() if w == like["workloads"].get(ref)]
    same += [section for section, value in facts.items() if section != "workloads" and value == like.get(section)]
    if case.name == "dev":
        same = []
    own = {key: value for key, value in facts.items() if key not in same}
    own["workloads"] = {ref: w for ref, w in facts["workloads"].items() if f"workloads/{ref}" not in same}
    head = f"# The facts of a render of the official chart. Made by `make inventory`.\n# inputs: {inputs(case)}\n"
    return head + dump({"asInDev": same, **own} if same else own)


def read(case: Case) -> Facts:
    """The facts that are kept of a case."""
    facts = load(kept(case).read_text())
    for name in facts.pop("asInDev", []):
        section, _, ref = name.partition("/")
        dev = read(ENVIRONMENTS[0])[section]
        if ref:
            facts[section][ref] = dev[ref]
        else:
            facts[section] = dev
    return facts


def inputs(case: Case) -> str:
    """Digest of all that goes into a render: what makes a kept inventory stale."""
    parts = [versions()["chart_sha256"], KUBE_VERSION, *map(content_sha256, case.files)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def official_facts(case: Case) -> Facts:
    """Of a fresh render when the archive is here, else as kept."""
    return take(official(case)) if archive() else read(case)


@functools.cache
def inventory(case: Case) -> Inventory:
    """What a case deploys, of both charts."""
    return Inventory(case.name, merge(official_facts(case), take(ours(case)) if case.layers else {}))


def load(text: str) -> Facts:
    """What `dump` wrote."""
    facts: Facts = yaml.load(text, Loader=yaml.CSafeLoader)
    common = facts.pop("shared")
    for workload in facts["workloads"].values():
        for container in workload["containers"].values():
            env = container.get("env", [])
            if env[:1] == ["$shared"]:
                container["env"] = sorted([*common, *env[1:]])
    return facts


# --- reading ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mount:
    """A volume in a container."""

    volume: str
    path: str
    sub_path: str = ""
    read_only: bool = False

    @classmethod
    def parse(cls, text: str) -> Mount:
        """From the inventory's form."""
        volume, _, rest = text.partition(":")
        rest, read_only = rest.removesuffix(":ro"), rest.endswith(":ro")
        path, _, sub_path = rest.partition("#")
        return cls(volume, path, sub_path, read_only)


@dataclass(frozen=True)
class Container:
    """A container of a workload."""

    name: str
    facts: Facts = field(compare=False)

    @property
    def role(self) -> str:
        """init, sidecar or main."""
        return str(self.facts["role"])

    @property
    def image(self) -> str:
        """As the pod names it."""
        return str(self.facts["image"])

    @property
    def mounts(self) -> list[Mount]:
        """In order."""
        return [Mount.parse(text) for text in self.facts.get("mounts", [])]

    @property
    def env(self) -> dict[str, str]:
        """Plain values by name; what comes from elsewhere is not in it."""
        return dict(v.split("=", 1) for v in self.facts.get("env", []) if "=" in v.split(" ")[0])


@dataclass(frozen=True)
class Workload:
    """Anything that makes pods; `Pod/task` is the Kubernetes executor's template."""

    ref: str
    facts: Facts = field(compare=False)

    @property
    def component(self) -> str:
        """By its label, or its name."""
        labels = self.facts["labels"]
        return str(labels.get("component") or labels.get("app.kubernetes.io/component") or self.ref)

    @property
    def containers(self) -> list[Container]:
        """In the order in which they start."""
        return [Container(name, facts) for name, facts in self.facts["containers"].items()]

    def container(self, name: str) -> Container:
        """One of them."""
        return Container(name, self.facts["containers"][name])

    @property
    def volumes(self) -> dict[str, Facts]:
        """By name; `duplicate_volumes` tells what this hides."""
        return {v["name"]: v for v in self.facts.get("volumes", [])}

    @property
    def duplicate_volumes(self) -> set[str]:
        """Names that are there twice."""
        names = [v["name"] for v in self.facts.get("volumes", [])]
        return {name for name in names if names.count(name) > 1}

    def claims(self) -> dict[str, str]:
        """Claims that its pods share, by volume."""
        return {name: v["persistentVolumeClaim"] for name, v in self.volumes.items() if "persistentVolumeClaim" in v}

    @property
    def replicas(self) -> int:
        """How many pods it wants; what runs to its end: one."""
        return int(self.facts.get("replicas", 1))

    @property
    def may_overlap(self) -> bool:
        """Whether two of its pods can exist at once: replicas, a rollout that surges, tasks, or a job's retry."""
        if self.ref.startswith("Deployment/"):
            return self.replicas > 1 or (self.facts.get("strategy") or {}).get("type") != "Recreate"
        return self.replicas > 1 or self.ref.startswith(("Pod/", "CronJob/"))


@dataclass(frozen=True)
class Inventory:
    """What is deployed in one case, of both charts."""

    name: str
    facts: Facts = field(compare=False)

    @property
    def workloads(self) -> list[Workload]:
        """All of them."""
        return [Workload(ref, facts) for ref, facts in self.facts["workloads"].items()]

    def workload(self, ref: str) -> Workload:
        """One of them, like `Deployment/airflow-scheduler`."""
        return Workload(ref, self.facts["workloads"][ref])

    def containers(self) -> Iterator[tuple[Workload, Container]]:
        """Each container with its workload."""
        for workload in self.workloads:
            for container in workload.containers:
                yield workload, container

    def option(self, section: str, name: str) -> str | None:
        """A setting in airflow.cfg."""
        value = self.facts["airflow.cfg"].get(section, {}).get(name)
        return None if value is None else str(value)
