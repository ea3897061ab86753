"""manage.sh: what it refuses before it starts any tool, and that it says why in one sentence."""

import shutil
import subprocess

import pytest

from tests.helpers.terraform import MANAGE, Manage

ALL = "dev staging prod pi demo"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("frobnicate dev", "there is no command frobnicate; see 'manage.sh --help'."),
        ("plan", f"plan which environment? Name one of: {ALL}; or set AIRFLOW_PLATFORM_ENV."),
        ("plan nowhere", f"there is no environment nowhere; there are: {ALL}."),
        ("plan dev prod", "'prod' is one argument too many; see 'manage.sh --help'."),
        ("plan dev --fast", "there is no option --fast; see 'manage.sh --help'."),
        ("output dev --file", "--file needs the name of a file."),
        *(
            (
                f"{command} pi",
                "pi has no AWS side (terraform/environments/pi.tfvars does not exist), so there is nothing to"
                f" {command}.",
            )
            for command in ("init", "plan", "apply", "destroy", "output")
        ),
        (
            "apply prod --auto-approve",
            "apply prod changes production; look at 'manage.sh plan prod', then add --yes.",
        ),
        ("destroy prod", "destroy prod changes production; look at 'manage.sh plan prod', then add --yes."),
        (
            "apply dev",
            "apply dev asks before it changes anything, and there is no terminal to ask on; add --yes.",
        ),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(arguments, sentence):
    done = Manage({"AIRFLOW_PLATFORM_ENV": ""})(*arguments.split())
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"manage.sh: {sentence}\n")


def test_the_environment_may_come_from_a_variable():
    done = Manage({"AIRFLOW_PLATFORM_ENV": "pi"})("plan")
    assert done.returncode == 2
    assert done.stderr.startswith("manage.sh: pi has no AWS side")


def test_it_runs_from_any_folder(tmp_path):
    assert Manage(cwd=tmp_path)("plan", "pi").stderr.startswith("manage.sh: pi has no AWS side")


def test_without_terraform_it_says_so(tmp_path):
    for tool in ("bash", "env", "dirname", "basename", "sed", "awk", "paste", "mktemp", "rm"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    done = Manage({"PATH": str(tmp_path)})("plan", "dev")
    assert (done.returncode, done.stderr) == (
        3,
        "manage.sh: terraform is not on PATH; install Terraform 1.10 or newer.\n",
    )


def test_help_names_every_command():
    done = Manage()("--help")
    assert done.returncode == 0
    for command in ("init", "plan", "apply", "destroy", "output", "render", "diff", "deploy", "status"):
        assert f"\n  {command} " in done.stdout


def test_shellcheck_finds_nothing():
    subprocess.run(["shellcheck", "--external-sources", MANAGE], check=True, cwd=MANAGE.parents[1])
