"""The pipelines of examples/ci as jobs of one kind, whoever runs them: what GitHub and GitLab make of their files.

Only what the examples use is understood; anything else is an error, so that no job is read wrongly in silence.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "ci"
GITHUB = sorted(EXAMPLES.glob("*/github/.github/workflows/*.yml"))
GITLAB = sorted(EXAMPLES.glob("*/gitlab/.gitlab-ci.yml"))
FILES = [*GITHUB, *GITLAB]
EVENTS = ("merge", "main", "production")
AUDIENCE = "sts.amazonaws.com"


def name_of(file: Path) -> str:
    """Like package/github/dags.yml."""
    what, who, *_ = file.relative_to(EXAMPLES).parts
    return f"{what}/{who}/{file.name}"


@dataclass(frozen=True)
class Step:
    """Lines that one shell runs, and the variables that the file gives them."""

    script: str
    variables: Mapping[str, str]


@dataclass(frozen=True)
class Job:
    """A job of either system, for one entry of its matrix."""

    file: Path
    name: str
    events: frozenset[str]  # on which of EVENTS it runs
    steps: tuple[Step, ...]
    token: bool  # gets an OIDC token
    manual: bool  # waits for a person
    environment: str | None
    alone: str | None  # the name under which no two of them run at once
    image: str | None
    needs: tuple[str, ...]
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def lines(self) -> str:
        """All that it runs."""
        return "\n".join(step.script for step in self.steps)

    @property
    def variables(self) -> dict[str, str]:
        """All that the file gives it."""
        return {name: value for step in self.steps for name, value in step.variables.items()}

    @property
    def id(self) -> str:
        return f"{name_of(self.file)}:{self.name}"


# --- GitHub ------------------------------------------------------------------------------------------------------


def github(file: Path, text: str | None = None) -> list[Job]:
    """The jobs of a workflow."""
    flow = yaml.safe_load(text or file.read_text())
    triggers = flow[True]  # YAML 1.1 reads `on` as a boolean
    assert set(triggers) <= {"pull_request", "push"}
    assert "push" not in triggers or triggers["push"]["branches"] == ["main"]
    assert flow["defaults"] == {"run": {"shell": "bash"}}, "without it a failing pipe is a success"
    return [job for name, raw in flow["jobs"].items() for job in _github_jobs(file, flow, triggers, name, raw)]


def _github_jobs(file: Path, flow: Any, triggers: Any, name: str, raw: Any) -> Iterator[Job]:
    events = frozenset(
        event
        for event, trigger in (("merge", "pull_request"), ("main", "push"))
        if trigger in triggers and _github_if(raw.get("if", ""), trigger)
    )
    permissions = raw.get("permissions", flow["permissions"])
    for entry in raw.get("strategy", {}).get("matrix", {}).get("include", [{}]):
        steps = tuple(
            Step(
                _expressions(step["run"], flow, raw, entry),
                {
                    key: _expressions(str(value), flow, raw, entry)
                    for key, value in {**flow["env"], **raw.get("env", {}), **step.get("env", {})}.items()
                },
            )
            for step in raw["steps"]
            if "run" in step
        )
        needs = raw.get("needs", [])
        container = raw.get("container", {})
        yield Job(
            file,
            f"{name}-{entry['environment']}" if entry else name,
            events,
            steps,
            token=permissions.get("id-token") == "write",
            manual=raw.get("environment") == "production",
            environment=raw.get("environment"),
            alone=raw.get("concurrency", {}).get("group"),
            image=container.get("image"),
            needs=tuple([needs] if isinstance(needs, str) else needs),
            raw=raw,
        )


def _github_if(condition: str, trigger: str) -> bool:
    values = {
        "github.event_name": trigger,
        "github.ref": "refs/heads/main" if trigger == "push" else "refs/pull/1/merge",
    }
    if not condition:
        return True
    terms = [re.fullmatch(r"(github\.\w+) == '([^']*)'", term) for term in condition.split(" && ")]
    assert all(terms), condition
    return all(values[term[1]] == term[2] for term in terms if term)


def _expressions(text: str, flow: Any, job: Any, entry: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        context, name = found[1].split(".")
        known = {"env": flow["env"] | job.get("env", {}), "matrix": entry, "github": {"run_id": "4711"}}
        return str(known[context][name])

    return re.sub(r"\$\{\{ ([a-z]+\.\w+) \}\}", value, text)


# --- GitLab ------------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Keeps `!reference` for later."""


@dataclass(frozen=True)
class _Reference:
    path: tuple[str, ...]


_Loader.add_constructor(
    "!reference",
    lambda loader, node: _Reference(tuple(loader.construct_sequence(node))),  # type: ignore[arg-type]
)
KEYWORDS = {"variables", "workflow", "stages", "default", "include"}


def gitlab(file: Path, text: str | None = None) -> list[Job]:
    """The jobs of a .gitlab-ci.yml."""
    document = yaml.load(text or file.read_text(), _Loader)
    names = [name for name in document if name not in KEYWORDS and not name.startswith(".")]
    return [job for name in names for job in _gitlab_jobs(file, document, name)]


def _gitlab_jobs(file: Path, document: Any, name: str) -> Iterator[Job]:
    raw = _extended(document, name)
    assert raw["stage"] in document["stages"]
    events, manual = set(), False
    for event in EVENTS:
        if not any(_gitlab_if(rule["if"], event) for rule in document["workflow"]["rules"]):
            continue
        rule = next((r for r in raw.get("rules", [{}]) if _gitlab_if(r.get("if", ""), event)), None)
        if rule is not None:
            events.add(event)
            manual |= rule.get("when") == "manual"
    script = "\n".join(_lines(document, raw.get("before_script", [])) + _lines(document, raw["script"]))
    image = raw.get("image")
    for entry in raw.get("parallel", {}).get("matrix", [{}]):
        variables = {**document["variables"], **raw.get("variables", {}), **entry}
        yield Job(
            file,
            f"{name}-{entry['NAME']}" if entry else name,
            frozenset(events),
            (Step(script, {key: expanded(str(value), variables) for key, value in variables.items()}),),
            token="id_tokens" in raw,
            manual=manual,
            environment=raw.get("environment"),
            alone=raw.get("resource_group"),
            image=image["name"] if isinstance(image, dict) else image,
            needs=tuple(raw.get("needs", document["stages"][: document["stages"].index(raw["stage"])])),
            raw=raw,
        )


def _extended(document: Any, name: str) -> dict[str, Any]:
    raw = dict(document[name])
    if base := raw.pop("extends", None):
        parent = _extended(document, base)
        merged = {key: {**parent[key], **raw[key]} for key in raw if isinstance(raw[key], dict) and key in parent}
        raw = {**parent, **raw, **merged}
    return raw


def gitlab_expanded(text: str) -> str:
    """The same file without `extends` and `!reference`: what a hidden job gives is then part of a job that schemas see."""
    document = yaml.load(text, _Loader)
    for name in [name for name in document if name not in KEYWORDS and not name.startswith(".")]:
        document[name] = _extended(document, name)
        for key in {"before_script", "script"} & set(document[name]):
            document[name][key] = _lines(document, document[name][key])
    return yaml.safe_dump({name: value for name, value in document.items() if not name.startswith(".")})


def _lines(document: Any, lines: list[Any]) -> list[str]:
    result = []
    for line in lines:
        if isinstance(line, _Reference):
            job, key = line.path
            result += _lines(document, document[job][key])
        else:
            result.append(line)
    return result


def _gitlab_if(condition: str, event: str) -> bool:
    if not condition:
        return True
    found = re.fullmatch(r'\$(\w+) == "([^"]*)"', condition)
    assert found, condition
    merge = event == "merge"
    values = {
        "CI_PIPELINE_SOURCE": "merge_request_event" if merge else "push",
        "CI_COMMIT_BRANCH": "" if merge else event,
    }
    return values[found[1]] == found[2]


def expanded(value: str, variables: Mapping[str, Any]) -> str:
    """One level, as every GitLab does; what is not of the file is the runner's and stays."""
    assert not any(value == f"${name}" and variables[name] == value for name in variables)
    return re.sub(r"\$\{?(\w+)\}?", lambda m: str(variables.get(m[1], m[0])), value)


def jobs(file: Path, text: str | None = None) -> list[Job]:
    """The jobs of one of the files."""
    return (github if file in GITHUB else gitlab)(file, text)


ALL = [job for file in FILES for job in jobs(file)]


def job(pattern: str) -> Job:
    """The one job whose id fits, like `package/gitlab/*:publish-dev`."""
    (found,) = [job for job in ALL if fnmatch.fnmatch(job.id, pattern)]
    return found
