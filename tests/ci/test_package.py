"""The pipelines of a package, line by line: validate, publish to dev, then the same commit to prod; the job's image."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.local.s3_servers import S3Server
from tests.ci.pipelines import ALL, AUDIENCE, FILES, Job, job, jobs
from tests.ci.runner import DIGEST, Done, Runner, commit, git, live, refusing_sts

SYSTEMS = ("github", "gitlab")
IN_FULL = pytest.mark.exhaustive("pipelines")
ONE_OR_BOTH = ["github", pytest.param("gitlab", marks=IN_FULL)]
REGISTRY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
Machine = Callable[..., Runner]


def jobs_of(system: str) -> list[Job]:
    """Those that publish; the image's are told apart below."""
    return [job for job in ALL if job.id.startswith(f"package/{system}/") and "docker" not in job.lines]


def well(done: dict[str, Done]) -> list[str]:
    """The jobs that ran; all must have gone well."""
    for name, one in done.items():
        assert one.code == 0, f"{name}: {one.said}"
    return list(done)


def published(server: S3Server, buckets: dict[str, str], environment: str, source: str) -> None:
    """Assert that the commit is live, published by the role of that environment."""
    manifest = live(server, buckets[environment], environment)
    assert manifest, f"nothing is live in {environment}"
    assert manifest["source"] == source
    assert f"assumed-role/airflow-{environment}-publish-sales/git" in str(manifest["publisher"])
    assert {file["path"] for file in manifest["files"]} >= {"daily_report.py", "sql/orders_by_region.sql"}  # type: ignore[attr-defined]


def to_production(runner: Runner, source: str) -> str:
    """Merge into the branch of approvals, as GitLab does by default: with a commit of its own."""
    git(runner.folder, "checkout", "--quiet", "-B", "production", f"{source}~1")
    git(runner.folder, "merge", "--quiet", "--no-ff", "--message", "Merge main into production", source)
    return git(runner.folder, "rev-parse", "HEAD")


def test_github_publishes_a_commit_to_dev_and_the_same_to_prod(
    machine: Machine, aws: S3Server, buckets: dict[str, str]
) -> None:
    runner = machine()
    sha = commit(runner.folder, "a change")
    assert well(runner.pipeline(jobs_of("github"), "main")) == ["validate", "publish-dev", "publish-prod"]
    for environment in ("dev", "prod"):
        published(aws, buckets, environment, sha)
    assert runner.tokens.audiences == [AUDIENCE, AUDIENCE]


@IN_FULL
def test_gitlab_publishes_main_to_dev_and_what_was_merged_from_it_to_prod(
    machine: Machine, aws: S3Server, buckets: dict[str, str]
) -> None:
    runner = machine()
    sha = commit(runner.folder, "a change")
    assert well(runner.pipeline(jobs_of("gitlab"), "main")) == ["validate", "publish-dev"]
    published(aws, buckets, "dev", sha)
    assert live(aws, buckets["prod"], "prod") is None
    assert to_production(runner, sha) != sha
    assert well(runner.pipeline(jobs_of("gitlab"), "production")) == ["validate", "publish-prod"]
    published(aws, buckets, "prod", sha)


def test_gitlab_refuses_a_production_branch_with_something_of_its_own(
    machine: Machine, aws: S3Server, buckets: dict[str, str]
) -> None:
    runner = machine()
    to_production(runner, commit(runner.folder, "a change"))
    (runner.folder / "dags" / "config.yaml").write_text("regions: []\n")
    commit(runner.folder, "only in production")
    done = runner.run(job("package/gitlab/*:publish-prod"), "production")
    assert done.code == 1 and "dags/config.yaml" in done.said
    assert live(aws, buckets["prod"], "prod") is None


@pytest.mark.parametrize("system", ONE_OR_BOTH)
def test_a_merge_request_is_validated_and_nothing_else(
    machine: Machine, aws: S3Server, buckets: dict[str, str], system: str
) -> None:
    runner = machine()
    done = runner.pipeline(jobs_of(system), "merge")
    assert well(done) == ["validate"]
    assert "0 errors" in done["validate"].said and "parsed by Airflow" in done["validate"].said
    assert runner.tokens.audiences == [] and live(aws, buckets["dev"], "dev") is None


@pytest.mark.parametrize("system", ONE_OR_BOTH)
@pytest.mark.parametrize(
    ("event", "broken"),
    [
        ("merge", "def f(:\n"),
        pytest.param("main", "from airflow.sdk import DAG\n\nDAG('other_id')\n", marks=IN_FULL),
        pytest.param("main", "import nothing_of_that_name\n", marks=IN_FULL),
    ],
)
def test_a_broken_dag_ends_the_pipeline_with_exit_code_1_and_nothing_is_published(
    machine: Machine, aws: S3Server, buckets: dict[str, str], system: str, event: str, broken: str
) -> None:
    runner = machine()
    (runner.folder / "dags" / "broken.py").write_text(broken)
    commit(runner.folder, "a broken DAG")
    done = runner.pipeline(jobs_of(system), event)
    assert list(done) == ["validate"] and done["validate"].code == 1, done
    assert "broken.py:" in done["validate"].said
    assert all(live(aws, bucket, environment) is None for environment, bucket in buckets.items())


def test_what_cannot_be_parsed_is_refused_by_the_parse_alone(machine: Machine) -> None:
    """The reason for the Airflow image: without it this DAG is fine."""
    runner = machine()
    (runner.folder / "dags" / "late.py").write_text(
        "from airflow.sdk import DAG\n\nraise ValueError('only a run can tell')\n"
    )
    commit(runner.folder)
    for system in SYSTEMS:
        done = runner.run(job(f"package/{system}/*:validate"), "merge")
        assert done.code == 1 and "only a run can tell" in done.said


@pytest.mark.parametrize("system", ONE_OR_BOTH)
@IN_FULL
def test_the_publisher_installs_from_its_lock_and_its_tag(
    machine: Machine, aws: S3Server, buckets: dict[str, str], system: str
) -> None:
    """With a real `pip`, into an environment that has neither Airflow nor this checkout."""
    runner = machine(real_pip=True)
    done = runner.run(job(f"package/{system}/*:publish-dev"), "main")
    assert done.code == 0, done.said
    assert "checked statically" in done.said
    published(aws, buckets, "dev", git(runner.folder, "rev-parse", "HEAD"))


def test_a_refused_token_ends_the_job_before_anything_is_published(
    machine: Machine, aws: S3Server, buckets: dict[str, str]
) -> None:
    runner = machine()
    runner.tokens.refuses = True
    done = runner.run(job("package/github/dags.yml:publish-dev"), "main")
    assert done.code == 22 and "The requested URL returned error: 403" in done.said and "published" not in done.said
    assert live(aws, buckets["dev"], "dev") is None


@pytest.mark.parametrize("system", ONE_OR_BOTH)
def test_a_wrong_account_is_exit_code_4(machine: Machine, system: str) -> None:
    done = machine().run(
        job(f"package/{system}/*:publish-dev"), "main", AIRFLOW_PLATFORM_BUCKET="airflow-dags-dev-000000000000"
    )
    assert done.code == 4 and "airflow-dags-dev-000000000000" in done.said


@pytest.mark.parametrize("system", ONE_OR_BOTH)
def test_a_tag_that_is_not_there_is_git_s_exit_code_128(machine: Machine, system: str) -> None:
    done = machine().run(job(f"package/{system}/*:validate"), "merge", PLATFORM_TAG="v9.9.9")
    assert done.code == 128 and "Remote branch v9.9.9 not found" in done.said


def test_a_job_that_gets_no_token_says_which_line_it_lacks(machine: Machine) -> None:
    done = machine().run(replace(job("package/github/dags.yml:publish-dev"), token=False), "main")
    assert done.code != 0 and "the job lacks id-token: write" in done.said


@pytest.mark.parametrize("system", ONE_OR_BOTH)
def test_no_dags_is_exit_code_2(machine: Machine, system: str) -> None:
    runner = machine()
    git(runner.folder, "rm", "--quiet", "-r", "dags")
    commit(runner.folder)
    assert runner.run(job(f"package/{system}/*:validate"), "merge").code == 2


@pytest.mark.parametrize("why", ["AccessDenied", "ExpiredTokenException", "InvalidIdentityToken"])
@pytest.mark.parametrize("system", ONE_OR_BOTH)
def test_a_role_that_is_not_given_is_said_with_the_reason(machine: Machine, system: str, why: str) -> None:
    with refusing_sts(why) as (endpoint, asked):
        done = machine().run(job(f"package/{system}/*:publish-dev"), "main", AWS_ENDPOINT_URL_STS=endpoint)
    assert asked[0]["WebIdentityToken"] == [f"token-of-{system}"]
    assert asked[0]["RoleArn"] == ["arn:aws:iam::123456789012:role/airflow-dev-publish-sales"]
    assert f"({why}) when calling the AssumeRoleWithWebIdentity operation" in done.said
    assert done.code == 3


CHINA = {
    "PARTITION: aws #": "PARTITION: aws-cn #",
    "DNS_SUFFIX: amazonaws.com #": "DNS_SUFFIX: amazonaws.com.cn #",
    "AWS_DEFAULT_REGION: eu-central-1": "AWS_DEFAULT_REGION: cn-north-1",
}


def filled_in(file: Path, values: dict[str, str]) -> list[Job]:
    """The jobs of a file with other values in its head."""
    text = file.read_text()
    for shipped, value in values.items():
        assert text.count(shipped) == 1, shipped
        text = text.replace(shipped, value)
    return jobs(file, text)


@pytest.mark.parametrize("system", SYSTEMS)
def test_in_another_partition_role_token_and_registry_are_of_it(machine: Machine, system: str) -> None:
    """Three values are filled in, and nothing else is changed: China differs in all of them."""
    here = [one for file in FILES if f"package/{system}/" in file.as_posix() for one in filled_in(file, CHINA)]
    runner = machine()
    with refusing_sts("AccessDenied") as (endpoint, asked):
        for publish in (one for one in here if one.name.startswith("publish-")):
            runner.run(publish, min(publish.events), AWS_ENDPOINT_URL_STS=endpoint)
    roles = [
        f"arn:aws-cn:iam::123456789012:role/airflow-{environment}-publish-sales" for environment in ("dev", "prod")
    ]
    assert list(dict.fromkeys(role for each in asked for role in each["RoleArn"])) == roles, "tried again, each"
    [push] = [one for one in here if "--push" in one.lines]
    done = runner.run(push, "main")
    assert done.code == 0, done.said
    registry = "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn"
    assert f"docker login --username AWS --password-stdin {registry}" in done.called
    assert f'image="{registry}/airflow/sales@' in done.said
    assert runner.tokens.audiences == ["sts.amazonaws.com.cn"] * 3


@pytest.mark.parametrize("system", ONE_OR_BOTH)
def test_the_image_is_built_on_a_merge_request_and_not_pushed(machine: Machine, system: str) -> None:
    (build,) = [j for j in ALL if j.id.startswith(f"package/{system}/") and "docker" in j.lines and "merge" in j.events]
    done = machine().run(build, "merge")
    assert done.code == 0 and done.called == ["docker buildx build image"]


@pytest.mark.parametrize("system", ONE_OR_BOTH)
def test_the_image_is_pushed_once_a_commit_and_the_line_for_the_dag_is_said(machine: Machine, system: str) -> None:
    (push,) = [j for j in ALL if j.id.startswith(f"package/{system}/") and "--push" in j.lines]
    runner = machine()
    tag = f"{REGISTRY}/airflow/sales:main-{git(runner.folder, 'rev-parse', 'HEAD')}"
    line = f'For the DAG: image="{REGISTRY}/airflow/sales@{DIGEST}"'
    for again in (False, True):
        done = runner.run(push, "main")
        assert done.code == 0, done.said
        assert line in done.said
        assert f"docker login --username AWS --password-stdin {REGISTRY}" in done.called
        assert re.search(r"^password [1-9]", "\n".join(done.called), re.MULTILINE), "no password from ECR"
        assert (f"docker buildx build --push --tag {tag} image" in done.called) is not again
        if system == "github":
            assert line in done.summary
