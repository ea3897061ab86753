"""The pipelines of the platform itself: which of the platform's own commands they run, and as whom."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from scripts.local.s3_servers import S3Server
from scripts.manage.layers.chart import archive
from scripts.pinned import helm
from tests.ci.pipelines import ALL, ROOT, Job, job
from tests.ci.runner import RECORD, TERRAFORM, Runner, commit, git, platform_checkout

SYSTEMS = ("github", "gitlab")
IN_FULL = pytest.mark.exhaustive("pipelines")
ONE_OR_BOTH = ["github", pytest.param("gitlab", marks=IN_FULL)]
STATES = "airflow-terraform-state-123456789012"
ARCHIVE = "https://releases.hashicorp.com/terraform/{0}/terraform_{0}_linux_amd64.zip"
Machine = Callable[..., Runner]

CURL = (
    RECORD
    + """\
case "$*" in *terraform_*) ;; *) exec {curl} "$@" ;; esac
while [[ $1 != --output ]]; do shift; done
cp {archive} "$2"
"""
)


@pytest.fixture
def platform_machine(machine: Machine, tmp_path: Path, aws: S3Server) -> Runner:
    """A machine with this repository, where GitHub's action or the downloaded archive has put a Terraform."""
    runner = machine(platform_checkout(tmp_path / "airflow-platform"))
    aws.client().create_bucket(Bucket=STATES)
    aws.client().put_bucket_versioning(Bucket=STATES, VersioningConfiguration={"Status": "Enabled"})
    runner.stand_in("terraform", TERRAFORM)
    return runner


def downloads(runner: Runner) -> str:
    """From now on Terraform is nowhere but at its download; return the digest."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as packed:
        entry = zipfile.ZipInfo("terraform")
        entry.external_attr = 0o100755 << 16
        packed.writestr(entry, TERRAFORM)
    (runner.bin / "terraform").unlink()
    (runner.work / "terraform.zip").write_bytes(content.getvalue())
    runner.stand_in("curl", CURL.format(curl=shutil.which("curl"), archive=runner.work / "terraform.zip"))
    return hashlib.sha256(content.getvalue()).hexdigest()


def more(runner: Runner, one: Job) -> dict[str, str]:
    """What a job needs to find the Terraform of this test."""
    return {"TERRAFORM_SHA256": downloads(runner)} if "TERRAFORM_SHA256" in one.variables else {}


def with_helm(runner: Runner) -> dict[str, str]:
    """`make lint` builds Helm, and Helm pulls the chart; here both are on the machine, or the test is skipped."""
    program, chart = helm(), archive()
    if program is None or chart is None:
        pytest.skip("helm or the chart's archive is not on this machine (make tools)")
    (runner.bin / "helm").symlink_to(program)
    return {"AIRFLOW_CHART_FILE": str(chart)}


@pytest.mark.parametrize("system", ONE_OR_BOTH)
def test_check_lints_renders_every_environment_and_asks_the_policies(platform_machine: Runner, system: str) -> None:
    check = job(f"platform/{system}/*:check")
    done = platform_machine.run(check, "merge", **with_helm(platform_machine), **more(platform_machine, check))
    assert done.code == 0, done.said
    assert [line for line in done.called if line.startswith("make")] == [
        "make lint",
        "make test ARGS=tests/render tests/policy",
    ]
    environments = yaml.safe_load((ROOT / "values/environments.yaml").read_text())["environments"]
    where = platform_machine.work if system == "github" else platform_machine.folder / ".build"
    for environment in environments:
        kinds = {d["kind"] for d in yaml.safe_load_all((where / f"{environment}.yaml").read_text()) if d}
        assert "Deployment" in kinds, environment


@pytest.mark.parametrize("system", ONE_OR_BOTH)
def test_a_wrong_layer_ends_the_check(platform_machine: Runner, system: str) -> None:
    (platform_machine.folder / "values/env/staging.yaml").write_text("scheduler: {resuorces: {}}\n")
    commit(platform_machine.folder)
    check = job(f"platform/{system}/*:check")
    done = platform_machine.run(check, "merge", **with_helm(platform_machine), **more(platform_machine, check))
    assert done.code != 0 and "scheduler.resuorces" in done.said


@pytest.mark.parametrize(
    "one", [j for j in ALL if j.id.startswith("platform/") and "plan-" in j.name], ids=lambda j: j.id
)
def test_a_plan_takes_the_role_of_its_entry_with_the_token(platform_machine: Runner, one: Job) -> None:
    done = platform_machine.run(one, "main", **more(platform_machine, one))
    assert done.code == 0, done.said
    system = one.id.split("/")[1]
    name = one.name.removeprefix("plan-")
    assert re.search(r"terraform -chdir=\S+ plan -no-color -input=false .*-var-file=", "\n".join(done.called))
    assert name == "account" or any(f"{name}.tfvars" in line for line in done.called)
    assert f"as arn:aws:iam::123456789012:role/PLAN with token-of-{system}" in done.called
    assert not any(" apply" in line for line in done.called)


@pytest.mark.parametrize("system", ONE_OR_BOTH)
def test_apply_changes_prod_and_asks_nothing_more(platform_machine: Runner, system: str) -> None:
    apply = job(f"platform/{system}/*:apply-prod")
    done = platform_machine.run(apply, "main" if system == "github" else "production", **more(platform_machine, apply))
    assert done.code == 0, done.said
    called = "\n".join(done.called)
    assert re.search(r"terraform -chdir=\S+ apply -no-color -input=false -auto-approve .*prod\.tfvars", called)
    assert f"as arn:aws:iam::123456789012:role/APPLY with token-of-{system}" in called


def test_gitlab_applies_nothing_that_is_not_on_main(platform_machine: Runner) -> None:
    apply = job("platform/gitlab/*:apply-prod")
    git(platform_machine.folder, "checkout", "--quiet", "-b", "production")
    (platform_machine.folder / "NEW").touch()
    commit(platform_machine.folder)
    done = platform_machine.run(apply, "production", **more(platform_machine, apply))
    assert done.code == 1 and not any(" apply" in line for line in done.called)


def test_gitlab_runs_no_other_terraform_than_the_pinned_one(platform_machine: Runner) -> None:
    plan = job("platform/gitlab/*:plan-dev")
    downloads(platform_machine)
    done = platform_machine.run(plan, "main")
    assert done.code != 0 and "terraform.zip: FAILED" in done.said
    assert ARCHIVE.format(plan.variables["TERRAFORM"]) in "\n".join(done.called)
    assert not any(line.startswith("terraform") for line in done.called)


@pytest.mark.parametrize("system", ONE_OR_BOTH)
def test_the_image_is_built_from_what_is_there(platform_machine: Runner, system: str) -> None:
    (build,) = [j for j in ALL if j.id.startswith(f"platform/{system}/") and "docker" in j.lines]
    done = platform_machine.run(build, "merge")
    assert done.code == 0 and done.called == ["docker buildx build --file examples/image/Dockerfile examples"]
    dockerfile = ROOT / "examples/image/Dockerfile"
    for source in re.findall(r"^COPY --chown=\S+ (\S+) ", dockerfile.read_text(), re.MULTILINE):
        assert (ROOT / "examples" / source).is_dir()


@pytest.mark.parametrize("system", ONE_OR_BOTH)
def test_all_tests_are_run_by_their_make_target(platform_machine: Runner, system: str) -> None:
    test = job(f"platform/{system}/*:test")
    done = platform_machine.run(test, "merge", **more(platform_machine, test))
    assert done.code == 0 and done.called[-1] == "make test FULL=1"
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", "\n".join(j.lines for j in ALL))) <= targets
