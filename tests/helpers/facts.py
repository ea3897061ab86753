"""Takes the facts out of rendered objects: what policies look at, and people read and compare."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterable
from typing import Any

import yaml

from scripts.manage.layers.environments import NAMESPACE

POD_TEMPLATE = "pod_template_file.yaml"
Facts = dict[str, Any]


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
