"""What must hold of every pipeline: who gets a role, what waits for a person, what is pinned. Each rule is seen to fail."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.ci.pipelines import ALL, AUDIENCE, FILES, GITHUB, ROOT, Job, jobs, name_of

PINS = yaml.safe_load((ROOT / "versions.yaml").read_text())
AIRFLOW = "{repository}:{tag}@{digest}".format(**PINS["images"]["airflow"])
PUBLISH = re.compile(r"airflow_dag_publisher publish ")

Rule = Callable[[Job], Iterator[str]]


def no_role_before_the_merge(job: Job) -> Iterator[str]:
    """Whoever can open a merge request decides what it runs."""
    if "merge" in job.events:
        if job.token:
            yield "gets a token on merge requests"
        if any(name.startswith("AWS_") and "ROLE" in name for name in job.variables):
            yield "names a role on merge requests"


def a_role_needs_a_token(job: Job) -> Iterator[str]:
    if job.token != ("AWS_ROLE_ARN" in job.variables):
        yield "has a token without a role, or a role without a token"


def the_role_is_that_of_the_job(job: Job) -> Iterator[str]:
    """The names that Terraform gives."""
    role, account = job.variables.get("AWS_ROLE_ARN"), job.variables.get("ACCOUNT")
    if "/package/" not in job.file.as_posix() or role is None:
        return
    environment = job.variables.get("AIRFLOW_PLATFORM_ENV", "dev")  # the image is dev's
    if (
        role
        != f"arn:{job.variables['PARTITION']}:iam::{account}:role/airflow-{environment}-publish-{job.variables['PACKAGE']}"
    ):
        yield f"takes {role}"
    if (
        PUBLISH.search(job.lines)
        and job.variables["AIRFLOW_PLATFORM_BUCKET"] != f"airflow-dags-{environment}-{account}"
    ):
        yield f"writes into {job.variables['AIRFLOW_PLATFORM_BUCKET']}"


def production_waits_and_nothing_else(job: Job) -> Iterator[str]:
    """GitHub puts the environment into the token in place of the branch, so that dev's jobs must not name one."""
    role = job.variables.get("AWS_ROLE_ARN", "")
    for_production = job.variables.get("AIRFLOW_PLATFORM_ENV") == "prod" or role.endswith("/APPLY")
    if for_production != job.manual:
        yield "production without a person, or a person without production"
    if (job.environment == "production") != job.manual or job.environment not in (None, "production"):
        yield f"environment {job.environment}"
    if for_production and "gitlab" in job.id and job.events != {"production"}:
        yield f"runs on {sorted(job.events)}"
    if job.token and not for_production and job.events != {"main"}:
        yield f"has a role on {sorted(job.events)}"


def two_never_write_at_once(job: Job) -> Iterator[str]:
    writes = PUBLISH.search(job.lines) or "manage.sh apply" in job.lines
    environment = job.variables.get("AIRFLOW_PLATFORM_ENV", "prod")
    if writes and not (job.alone or "").endswith(f"-{environment}"):
        yield f"is alone as {job.alone}"
    if writes and "github" in job.id and job.raw["concurrency"]["cancel-in-progress"]:
        yield "is interrupted by the next one"


def where_a_role_is_no_code_of_the_package_runs(job: Job) -> Iterator[str]:
    if job.token and re.search(r"--parse\b|python .*dags/", job.lines):
        yield "runs DAGs beside a token"
    if PUBLISH.search(job.lines) and "--no-parse" not in job.lines:
        yield "publishes without --no-parse"


def an_image_has_the_commit_as_its_tag(job: Job) -> Iterator[str]:
    if "--push" in job.lines:
        if not re.search(r'tag="main-\$(GITHUB_SHA|CI_COMMIT_SHA)"', job.lines):
            yield "pushes another tag than main-<commit>"
        if not re.search(
            r'"\$ACCOUNT\.dkr\.ecr\.\$AWS_DEFAULT_REGION\.\$DNS_SUFFIX"\n.*"\$registry/airflow/\$PACKAGE"', job.lines
        ):
            yield "pushes into another repository than airflow/<package>"
        if "publish-" in job.variables["AWS_ROLE_ARN"] and "airflow-dev-" not in job.variables["AWS_ROLE_ARN"]:
            yield "pushes with another role than dev's"


def the_image_is_the_pinned_one(job: Job) -> Iterator[str]:
    if "--parse" in job.lines.split() and job.image != AIRFLOW:
        yield f"validates in {job.image}, versions.yaml has {AIRFLOW}"
    if (job.image or "").startswith("python:") and not str(job.image).startswith(f"python:{PINS['python']}-"):
        yield f"runs on {job.image}"
    if "latest" in (job.image or ""):
        yield "runs on a moving image"


def terraform_is_the_pinned_one(job: Job) -> Iterator[str]:
    used = [s["with"]["terraform_version"] for s in job.raw.get("steps", []) if "setup-terraform" in s.get("uses", "")]
    used += [job.variables["TERRAFORM"]] if "unzip" in job.lines and "TERRAFORM" in job.variables else []
    if any(str(version) != PINS["terraform"] for version in used):
        yield f"Terraform {used}, versions.yaml has {PINS['terraform']}"
    if "manage.sh plan" in job.lines and not used:
        yield "plans without Terraform"


def actions_are_pinned_by_commit(job: Job) -> Iterator[str]:
    for step in job.raw.get("steps", []):
        if "uses" in step and not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]):
            yield f"uses {step['uses']}"
        if "checkout" in step.get("uses", "") and step.get("with", {}).get("persist-credentials") is not False:
            yield "leaves the checkout's token on disk"


def the_publisher_is_the_one_of_the_tag(job: Job) -> Iterator[str]:
    if "airflow_dag_publisher" in job.lines:
        if '--branch "$PLATFORM_TAG" "$PLATFORM" .platform' not in job.lines:
            yield "has the publisher from elsewhere"
        source = job.variables["PYTHONPATH"].removeprefix(".platform/")
        if not (ROOT / source / "airflow_dag_publisher" / "__main__.py").is_file():
            yield f"looks for the publisher in {source}"
        if (
            "pip install" in job.lines
            and "--require-hashes --requirement .platform/locks/publisher.txt" not in job.lines
        ):
            yield "installs without hashes"


RULES: list[Rule] = [
    no_role_before_the_merge,
    a_role_needs_a_token,
    the_role_is_that_of_the_job,
    production_waits_and_nothing_else,
    two_never_write_at_once,
    where_a_role_is_no_code_of_the_package_runs,
    an_image_has_the_commit_as_its_tag,
    the_image_is_the_pinned_one,
    terraform_is_the_pinned_one,
    actions_are_pinned_by_commit,
    the_publisher_is_the_one_of_the_tag,
]


@pytest.mark.parametrize("job", ALL, ids=lambda job: job.id)
def test_it_keeps_the_rules(job: Job) -> None:
    assert not [f"{job.id} {said}" for rule in RULES for said in rule(job)]


DAGS, IMAGE, PLATFORM, _, SALES_GITLAB, PLATFORM_GITLAB, _ = FILES
BREAKS: list[tuple[Rule, Path, str, str]] = [
    (no_role_before_the_merge, DAGS, "permissions:\n  contents: read", "permissions:\n  contents: read\n  id-token: write"),
    (no_role_before_the_merge, SALES_GITLAB, "validate:\n  stage: validate", "validate:\n  stage: validate\n  id_tokens: {T: {aud: x}}"),
    (no_role_before_the_merge, DAGS, "  PACKAGE: sales", "  PACKAGE: sales\n  AWS_ROLE_ARN: x"),
    (no_role_before_the_merge, SALES_GITLAB, '    - if: $CI_COMMIT_BRANCH == "main"\n  variables', '    - if: $CI_PIPELINE_SOURCE == "merge_request_event"\n  variables'),
    (a_role_needs_a_token, IMAGE, "      id-token: write", "      packages: write"),
    (the_role_is_that_of_the_job, DAGS, "role/airflow-prod-publish-", "role/airflow-dev-publish-"),
    (the_role_is_that_of_the_job, SALES_GITLAB, "airflow-dags-prod-$ACCOUNT", "airflow-dags-dev-$ACCOUNT"),
    (production_waits_and_nothing_else, DAGS, "    environment: production", "    continue-on-error: false"),
    (production_waits_and_nothing_else, DAGS, "    needs: validate", "    needs: validate\n    environment: dev"),
    (production_waits_and_nothing_else, SALES_GITLAB, "      when: manual", "      when: on_success"),
    (production_waits_and_nothing_else, PLATFORM_GITLAB, '== "production"\n      when', '== "main"\n      when'),
    (production_waits_and_nothing_else, PLATFORM, "    environment: production", "    continue-on-error: false"),
    (two_never_write_at_once, DAGS, "group: publish-prod", "group: publish-dev"),
    (two_never_write_at_once, DAGS, "cancel-in-progress: false", "cancel-in-progress: true"),
    (two_never_write_at_once, SALES_GITLAB, "  resource_group: publish-dev\n", ""),
    (where_a_role_is_no_code_of_the_package_runs, DAGS, "--no-parse", "--parse"),
    (where_a_role_is_no_code_of_the_package_runs, SALES_GITLAB, " --no-parse", ""),
    (an_image_has_the_commit_as_its_tag, IMAGE, "main-$GITHUB_SHA", "$GITHUB_SHA"),
    (an_image_has_the_commit_as_its_tag, SALES_GITLAB, "$registry/airflow/", "$registry/"),
    (the_image_is_the_pinned_one, DAGS, "3.2.2-python3.12@", "3.2.1-python3.12@"),
    (the_image_is_the_pinned_one, SALES_GITLAB, "@sha256:bbe58", "@sha256:00000"),
    (the_image_is_the_pinned_one, SALES_GITLAB, "python:3.12-", "python:3.13-"),
    (terraform_is_the_pinned_one, PLATFORM, "terraform_version: 1.11.4", "terraform_version: 1.11.3"),
    (terraform_is_the_pinned_one, PLATFORM_GITLAB, "TERRAFORM: 1.11.4", "TERRAFORM: 1.11.3"),
    (actions_are_pinned_by_commit, DAGS, "checkout@93cb6efe18208431cddfb8368fd83d5badbf9bfd", "checkout@v5"),
    (actions_are_pinned_by_commit, PLATFORM, "persist-credentials: false", "persist-credentials: true"),
    (the_publisher_is_the_one_of_the_tag, DAGS, '--branch "$PLATFORM_TAG" ', ""),
    (the_publisher_is_the_one_of_the_tag, SALES_GITLAB, "packages/airflow_dag_publisher/src", "packages/airflow_dag_publisher"),
    (the_publisher_is_the_one_of_the_tag, SALES_GITLAB, " --require-hashes", ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "file", "right", "wrong"), BREAKS, ids=[f"{r.__name__}-{n}" for n, (r, *_) in enumerate(BREAKS)]
)
def test_each_rule_notices_a_mistake(rule: Rule, file: Path, right: str, wrong: str) -> None:
    text = file.read_text()
    assert right in text, f"{name_of(file)} has no {right!r} any more"
    assert [said for job in jobs(file, text.replace(right, wrong)) for said in rule(job)]


def test_no_rule_is_without_a_mistake() -> None:
    assert {rule for rule, *_ in BREAKS} == set(RULES)


@pytest.mark.parametrize("file", GITHUB, ids=name_of)
def test_an_action_says_its_version(file: Path) -> None:
    """The same commit is the same version everywhere."""
    found = re.findall(r"uses: (\S+)@([0-9a-f]{40}) # (v[\d.]+)$", file.read_text(), re.MULTILINE)
    assert len(found) == file.read_text().count("uses:")
    everywhere = {match for f in GITHUB for match in re.findall(r"uses: (\S+)@(\S+) # (\S+)", f.read_text())}
    assert len({name for name, *_ in everywhere}) == len(everywhere)


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_token_is_for_sts_and_no_key_is_kept(file: Path) -> None:
    text = file.read_text()
    assert not re.search(r"secrets\.|AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY)", text)
    audiences = re.findall(r"audience=([\w.$]+)|aud: (\S+)", text)
    with_a_role = "repository/" not in name_of(file)  # a repository is checked, and nothing is written anywhere
    assert {one or other for one, other in audiences} == ({"sts.$DNS_SUFFIX"} if with_a_role else set())
    tokens = {f"sts.{job.variables['DNS_SUFFIX']}" for job in jobs(file) if job.token}
    assert tokens == ({AUDIENCE} if with_a_role else set())


def test_both_systems_publish_with_the_same_lines() -> None:
    """Who changes one changes the other."""
    lines = {
        system: {
            (job.name, line)
            for job in ALL
            if job.id.startswith(f"package/{system}/")
            for line in job.lines.splitlines()
            if "airflow_dag_publisher" in line or "git clone" in line or "pip install" in line
        }
        for system in ("github", "gitlab")
    }
    only = {line.replace(' --source "$commit"', "") for _, line in lines["gitlab"]}
    assert {line for _, line in lines["github"]} == only
