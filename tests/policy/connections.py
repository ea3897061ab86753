"""Which connections NetworkPolicies allow: the semantics of networking.k8s.io/v1, of which the API reference is the source.

    network = Network(policies, namespaces={"monitoring": {"team": "platform"}})
    network.allows(pod, other_pod, 8080)

Left out, since no policy can say anything about them: what stays within a pod or its node (probes, port-forward) and the
ports of host-network pods. Fields that are not known are refused, so that a typo is not a rule that allows nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Selector = Mapping[str, Any]
Policy = Mapping[str, Any]


class NotAPolicy(ValueError):
    """What no API server would take, or what this module does not know."""


@dataclass(frozen=True)
class Port:
    """A port that a container listens on."""

    number: int
    protocol: str = "TCP"
    name: str = ""


@dataclass(frozen=True)
class Pod:
    """A pod, as policies see it.

    Args:
        address: left empty, `ipBlock` never matches it. Whether one matches pods is the network plugin's choice (Cilium:
            no; most others: yes), so what must work is tested without, and what must not with an address.
    """

    name: str
    namespace: str
    labels: Mapping[str, str] = field(hash=False)
    ports: tuple[Port, ...] = ()
    address: str = ""


@dataclass(frozen=True)
class Outside:
    """An address that is no pod's."""

    name: str
    address: str
    ports: tuple[Port, ...] = ()


End = Pod | Outside


@dataclass
class Network:
    """Policies, as applied to one cluster.

    Args:
        policies: manifests; without a namespace they are in `namespace`.
        namespaces: labels of namespaces, besides the one that Kubernetes itself sets.
    """

    policies: list[Policy]
    namespace: str = "default"
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for policy in self.policies:
            _check(policy)

    def allows(self, source: End, to: End, port: int, protocol: str = "TCP") -> bool:
        """Whether a connection gets through: out of the one and into the other."""
        if source == to:
            return True
        leaves = isinstance(source, Outside) or self._one_side(source, to, "egress", to, Port(port, protocol))
        return leaves and (isinstance(to, Outside) or self._one_side(to, source, "ingress", to, Port(port, protocol)))

    def selecting(self, pod: Pod, direction: str) -> list[Policy]:
        """Policies that a pod is isolated by, in a direction."""
        return [
            policy
            for policy in self.policies
            if direction in directions(policy)
            and self.namespace_of(policy) == pod.namespace
            and matches(policy["spec"].get("podSelector") or {}, pod.labels)
        ]

    def namespace_of(self, policy: Policy) -> str:
        """Namespace of a policy."""
        return str(policy["metadata"].get("namespace", self.namespace))

    def _one_side(self, pod: Pod, peer: End, direction: str, server: End, port: Port) -> bool:
        policies = self.selecting(pod, direction)
        return not policies or any(
            self._peer_matches(policy, rule.get("from" if direction == "ingress" else "to"), peer)
            and port_matches(rule.get("ports"), server, port)
            for policy in policies
            for rule in policy["spec"].get(direction) or []
        )

    def _peer_matches(self, policy: Policy, peers: list[Selector] | None, end: End) -> bool:
        return not peers or any(self.is_peer(policy, peer, end) for peer in peers)  # an empty list is everyone

    def is_peer(self, policy: Policy, peer: Selector, end: End) -> bool:
        """Whether a pod or an address is one of those that a peer of a policy means."""
        if peer.get("ipBlock"):
            return bool(end.address) and in_block(peer["ipBlock"], end.address)
        if isinstance(end, Outside):
            return False
        if peer.get("namespaceSelector") is None:
            if end.namespace != self.namespace_of(policy):
                return False
        elif not matches(peer["namespaceSelector"], self._labels_of(end.namespace)):
            return False
        return matches(peer.get("podSelector") or {}, end.labels)

    def _labels_of(self, namespace: str) -> Mapping[str, str]:
        return {**self.namespaces.get(namespace, {}), "kubernetes.io/metadata.name": namespace}


def directions(policy: Policy) -> set[str]:
    """Of a policy: ingress, egress or both. Without policyTypes, egress only if it has rules."""
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
    return {kind.lower() for kind in types}


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects; an empty one selects everything."""
    _known(selector, "matchLabels", "matchExpressions")
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression(expression, labels) for expression in selector.get("matchExpressions") or [])


def _expression(expression: Selector, labels: Mapping[str, str]) -> bool:
    key, operator = expression["key"], expression["operator"]
    values = expression.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            raise NotAPolicy(f"{operator} without values")
        return bool((labels.get(key) in values) == (operator == "In"))  # NotIn also selects what has no such label
    if operator in ("Exists", "DoesNotExist") and not values:
        return bool((key in labels) == (operator == "Exists"))
    raise NotAPolicy(f"not an expression: {expression}")


def in_block(block: Selector, address: str) -> bool:
    """Whether an ipBlock has an address."""
    ip = ipaddress.ip_address(address)
    return ip in ipaddress.ip_network(block["cidr"]) and not any(
        ip in ipaddress.ip_network(part) for part in block.get("except") or []
    )


def port_matches(ports: Iterable[Selector] | None, server: End, port: Port) -> bool:
    """Whether a rule's ports have one; names are those of the pod that listens."""
    return not ports or any(_port(wanted, server, port) for wanted in ports)


def _port(wanted: Selector, server: End, port: Port) -> bool:
    if wanted.get("protocol", "TCP") != port.protocol:
        return False
    number = wanted.get("port")
    if number is None:
        return True
    if isinstance(number, str):
        named = server.ports if isinstance(server, Pod) else ()
        return any((p.name, p.protocol, p.number) == (number, port.protocol, port.number) for p in named)
    return bool(number <= port.number <= wanted.get("endPort", number))


def _check(policy: Policy) -> None:
    spec = policy["spec"]
    _known(spec, "podSelector", "policyTypes", "ingress", "egress")
    if strange := set(spec.get("policyTypes") or []) - {"Ingress", "Egress"}:
        raise NotAPolicy(f"policyTypes {strange}")
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for rule in spec.get(direction) or []:
            _known(rule, side, "ports")
            for peer in rule.get(side) or []:
                _check_peer(peer)
            for port in rule.get("ports") or []:
                _known(port, "port", "endPort", "protocol")
                if "endPort" in port and not isinstance(port.get("port"), int):
                    raise NotAPolicy(f"endPort without a number in port: {port}")


def _check_peer(peer: Selector) -> None:
    _known(peer, "podSelector", "namespaceSelector", "ipBlock")
    given = {key for key, value in peer.items() if value is not None}
    if not given or ("ipBlock" in given and len(given) > 1):
        raise NotAPolicy(f"a peer is selectors or an ipBlock: {peer}")
    if block := peer.get("ipBlock"):
        _known(block, "cidr", "except")
        whole = ipaddress.ip_network(block["cidr"])
        for part in map(ipaddress.ip_network, block.get("except") or []):
            if part.version != whole.version or part == whole or not part.subnet_of(whole):  # type: ignore[arg-type]
                raise NotAPolicy(f"{part} is no part of {whole}")


def _known(given: Selector, *fields: str) -> None:
    if strange := set(given) - set(fields):
        raise NotAPolicy(f"fields {sorted(strange)} among {sorted(given)}")
