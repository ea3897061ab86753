"""Facts as the policies read them: workloads, their containers, what those mount."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.helpers.facts import Facts


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
