"""What Terraform says that it would do: a plan's resources and outputs, or why it refuses."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Plan:
    """The resources that a plan leaves behind, by address, and its outputs."""

    resources: dict[str, dict[str, Any]]
    outputs: dict[str, Any]

    @classmethod
    def of(cls, plan: Mapping[str, Any]) -> Self:
        """Read `terraform show -json`, or tftest's wrapper of it."""
        changes = [c for c in plan["resource_changes"] if c["mode"] == "managed" and c["change"]["after"]]
        outputs = plan["planned_values"].get("outputs", {})
        return cls(
            {c["address"]: c["change"]["after"] for c in changes},
            {name: output.get("value") for name, output in outputs.items()},
        )

    def __getitem__(self, address: str) -> dict[str, Any]:
        return self.resources[address]

    def statements(self, address: str, attribute: str = "policy") -> list[dict[str, Any]]:
        """The statements of a policy."""
        return statements(self[address][attribute])


@dataclass(frozen=True, order=True)
class Refusal:
    """What Terraform says to a wrong value, and the file below terraform/ and its line that the rule is at."""

    sentence: str
    file: str
    line: int

    @classmethod
    def all(cls, said: str, root: str) -> list[Self]:
        """The errors in the output of `plan -json`, in order."""
        messages = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        return sorted(cls._of(m["diagnostic"], root) for m in messages if m["@level"] == "error")

    @classmethod
    def _of(cls, diagnostic: dict[str, Any], root: str) -> Self:
        at = diagnostic.get("range", {"filename": "", "start": {"line": 0}})
        # A variable's error is at the value; where the rule is, is in the text.
        sentence, *more = diagnostic["detail"].split("\n\nThis was checked by the validation rule at ")
        file, line = more[0].split(",")[0].split(":") if more else (at["filename"], at["start"]["line"])
        module = re.search(r"modules/[\w-]+/[\w-]+\.tf$", file)
        return cls(sentence, module[0] if module else f"{root}/{file}", int(line))


def statements(policy: str) -> list[dict[str, Any]]:
    """The statements of a policy document."""
    found: list[dict[str, Any]] = json.loads(policy)["Statement"]
    return found
