"""What service accounts may do, as the API server itself says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kubernetes import client, config

ANYBODY = "default:of-no-role"  # its rights are those of every service account
Rights = dict[str, str]  # verbs by resource: {"pods/log": "get list"}


class Reviewer:
    """Asks in the name of accounts, which an administrator may."""

    def __init__(self, kubeconfig: Path) -> None:
        self._api: client.ApiClient = config.new_client_from_config(str(kubeconfig))

    def rights(self, account: str, namespace: str) -> Rights:
        """Of an account (`namespace:name`) in a namespace, but for what everybody may."""
        anybody = self._rules(ANYBODY, namespace)
        return {
            resource: " ".join(sorted(verbs - anybody.get(resource, set())))
            for resource, verbs in self._rules(account, namespace).items()
            if verbs - anybody.get(resource, set())
        }

    def may(self, account: str, verb: str, resource: str, namespace: str) -> bool:
        """Whether an account may do this; `resource` like "pods/log" or "roles.rbac.authorization.k8s.io"."""
        name, _, part = resource.partition("/")
        name, _, group = name.partition(".")
        asked = {"namespace": namespace, "verb": verb, "group": group, "resource": name, "subresource": part}
        return bool(self._ask(account, "SelfSubjectAccessReview", {"resourceAttributes": asked})["allowed"])

    def _ask(self, account: str, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        answer = self._api.call_api(
            f"/apis/authorization.k8s.io/v1/{kind.lower()}s", "POST", auth_settings=["BearerToken"], _preload_content=False,
            header_params={"Impersonate-User": f"system:serviceaccount:{account}", "Content-Type": "application/json"},
            body={"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec},
        )  # fmt: skip
        status: dict[str, Any] = json.loads(answer.data)["status"]
        return status

    def _rules(self, account: str, namespace: str) -> dict[str, set[str]]:
        status = self._ask(account, "SelfSubjectRulesReview", {"namespace": namespace})
        assert not status["incomplete"], status
        found: dict[str, set[str]] = {}
        for rule in status["resourceRules"]:
            for name in (f"{group}/{one}".lstrip("/") for group in rule["apiGroups"] for one in rule["resources"]):
                only = f" {' '.join(rule['resourceNames'])}" if rule.get("resourceNames") else ""
                found.setdefault(name + only, set()).update(rule["verbs"])
        return found
