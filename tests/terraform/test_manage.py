"""manage.sh: what it refuses before it starts any tool, and that it says why in one sentence."""

import re
import shutil
import subprocess

import pytest

from scripts.local.manage_sh import MANAGE, Manage
from tests.helpers.needs import needs_terraform

CLUSTERS = "dev staging prod pi"
AWS = f"{CLUSTERS} demo account"  # for commands that run Terraform


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("frobnicate dev", "there is no command frobnicate; see 'manage.sh --help'."),
        ("plan", f"plan which environment? Name one of: {AWS}; or set AIRFLOW_PLATFORM_ENV."),
        ("diff", f"diff which environment? Name one of: {CLUSTERS}; or set AIRFLOW_PLATFORM_ENV."),
        *((f"{c} nowhere", f"there is no environment nowhere; there are: {AWS}.") for c in ("init", "plan", "output")),
        *((f"{c} account", f"there is no environment account; there are: {CLUSTERS}.") for c in ("render", "deploy")),
        ("export account here", f"there is no environment account; there are: {CLUSTERS} demo."),
        ("deploy demo", f"there is no environment demo; there are: {CLUSTERS}."),
        ("plan dev prod", "'prod' is one argument too many; see 'manage.sh --help'."),
        ("export dev here there", "'there' is one argument too many; see 'manage.sh --help'."),
        ("export dev", "export dev needs the folder to write to: manage.sh export dev DIR."),
        ("unlock dev", "unlock dev needs the id that the refusal names: manage.sh unlock dev ID."),
        ("plan dev --fast", "there is no option --fast; see 'manage.sh --help'."),
        ("output dev --file", "--file needs the name of a file."),
        ("destroy dev --exported", "--exported needs the name of a folder."),
        ("diff dev --context", "--context needs the name of a context."),
        *(
            (
                f"{command} pi" + (" here" if command == "export" else ""),
                "pi has no AWS side (terraform/environments/pi.tfvars does not exist), so there is nothing to"
                f" {command}.",
            )
            for command in ("init", "plan", "apply", "destroy", "output", "export")
        ),
        (
            "apply prod --auto-approve",
            "apply prod changes production; look at 'manage.sh plan prod', then add --yes.",
        ),
        (
            "destroy account --yes",
            "destroy account is not done here: its bucket holds the states of every environment; take it apart by hand"
            " when they are gone.",
        ),
        ("destroy prod", "destroy prod changes production; look at 'manage.sh plan prod', then add --yes."),
        *(
            (
                f"apply {env}",
                f"apply {env} asks before it changes anything, and there is no terminal to ask on; add --yes.",
            )
            for env in ("dev", "account")
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


def test_help_names_every_command_and_option():
    done = Manage()("--help")
    assert done.returncode == 0
    assert re.findall(r"^  ([a-z]+) ", done.stdout, re.MULTILINE) == [
        *("init", "plan", "apply", "output", "unlock", "export", "destroy"),
        *("render", "diff", "deploy", "status"),
    ]
    taken = re.findall(r"--[a-z-]+(?= ?[|)])", MANAGE.read_text())
    assert set(re.findall(r"^  (--[a-z-]+)", done.stdout, re.MULTILINE)) == set(taken) - {"--help"}


class TestTheBucketOfStates:
    pytestmark = needs_terraform

    @pytest.mark.parametrize("command", ["plan dev", "output prod", "export dev here", "plan account"])
    def test_without_it_no_command_goes_on(self, aws, command):
        bucket = "no-such-bucket-of-states"
        manage = Manage({**aws.admin, "AIRFLOW_PLATFORM_STATE_DIR": "", "AIRFLOW_PLATFORM_STATE_BUCKET": bucket})
        done = manage(*command.split())
        assert (done.returncode, done.stdout, done.stderr) == (
            1,
            "",
            f"manage.sh: there is no bucket {bucket} for Terraform's states; run 'manage.sh init account' once.\n",
        )

    def test_init_account_makes_it_with_versions_and_closed(self, aws, tmp_path):
        """Once, and again without a change: the state that is kept in it comes later."""
        bucket = "airflow-terraform-state-of-test-manage"
        env = {"AIRFLOW_PLATFORM_STATE_DIR": str(tmp_path), "AIRFLOW_PLATFORM_STATE_BUCKET": bucket}
        s3 = aws.client("s3", aws.admin)
        for _ in range(2):
            Manage({**aws.admin, **env}).ok("init", "account")
            assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
            access = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
            assert set(access.values()) == {True}


def test_shellcheck_finds_nothing():
    subprocess.run(["shellcheck", "--external-sources", MANAGE], check=True, cwd=MANAGE.parents[1])
