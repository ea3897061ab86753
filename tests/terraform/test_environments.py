"""Account, dev and prod applied together to one fake AWS that enforces IAM, their states in the account's bucket."""

import json
import os
import pty
import subprocess
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import pytest
from botocore.exceptions import ClientError

from scripts.local.manage_sh import Manage
from scripts.pinned import ROOT
from tests.helpers.needs import needs_terraform
from tests.terraform.conftest import Built
from tests.terraform.rig import all_roles

pytestmark = needs_terraform
IN_FULL = pytest.mark.exhaustive("terraform")

STATES = "airflow-terraform-state-123456789012"


@pytest.fixture(scope="module")
def admin(aws):
    return aws.client("s3", aws.admin)


@pytest.mark.parametrize("environment", ["dev", *(pytest.param(name, marks=IN_FULL) for name in ("account", "prod"))])
def test_the_second_plan_is_empty(built, environment):
    assert "No changes." in built.manage(environment).ok("plan", environment, *built.arguments(environment))


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_outputs_follow_their_schema(built, environment):
    outputs = built[environment]
    jsonschema.validate(outputs, json.loads((ROOT / "docs/reference/outputs.schema.json").read_text()))
    assert outputs["environment"] == environment
    packages = {"team_a", "team_a2"} | ({"finance"} if environment == "dev" else set())
    assert set(outputs["roles"]["publishers"]) == set(outputs["roles"]["jobs"]) == packages
    assert outputs["repositories"].items() <= built["account"]["repositories"].items()


def test_output_is_the_document_and_nothing_else(built, tmp_path):
    """Programs read it: no warning of Terraform, such as of a missing CLI configuration, may stand around it."""
    manage = built.manage("dev", TF_CLI_CONFIG_FILE=str(tmp_path / "missing"))
    done = Manage(manage.env, cwd=tmp_path)("output", "dev", "--file", "outputs.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((tmp_path / "outputs.json").read_text()) == built["dev"]


def test_two_environments_share_nothing(built):
    def texts(value):
        return {t for v in value.values() for t in texts(v)} if isinstance(value, dict) else {value}

    shared = texts(built["dev"]) & texts(built["prod"])
    assert shared == {"eu-central-1", *built["prod"]["repositories"].values()}, "one image for all environments"


# --- states ---------------------------------------------------------------------------------------------------


def test_each_state_is_an_object_of_its_own_with_versions(built, admin):
    keys = {o["Key"] for o in admin.list_objects_v2(Bucket=STATES)["Contents"]}
    assert {"account/terraform.tfstate", "dev/terraform.tfstate", "prod/terraform.tfstate"} <= keys
    assert not [key for key in keys if key.endswith(".tflock")], "every lock was given back"
    assert admin.get_bucket_versioning(Bucket=STATES)["Status"] == "Enabled"
    assert admin.get_public_access_block(Bucket=STATES)["PublicAccessBlockConfiguration"]["RestrictPublicBuckets"]


@IN_FULL
def test_nobody_applies_while_somebody_else_does(built, admin):
    """S3 holds the lock: its object is written only if it is not there."""
    held = {"ID": "11111111-2222-3333-4444-555555555555", "Operation": "OperationTypeApply", "Who": "somebody@else"}
    lock = {"Bucket": STATES, "Key": "dev/terraform.tfstate.tflock"}
    admin.put_object(**lock, Body=json.dumps(held).encode())
    try:
        refused = built.manage("dev")("apply", "dev", "--yes", *built.arguments("dev"))
        assert refused.returncode == 1
        assert "Error acquiring the state lock" in refused.stderr
        assert held["ID"] in refused.stderr and "somebody@else" in refused.stderr
        built.manage("dev").ok("unlock", "dev", held["ID"])
        assert outcome(admin.head_object, **lock) == "404"
    finally:
        admin.delete_object(**lock)


def test_without_its_bucket_the_way_out_is_said(built, tmp_path):
    manage = built.manage("dev", AIRFLOW_PLATFORM_STATE_BUCKET="no-such-bucket", TF_DATA_DIR=str(tmp_path))
    refused = manage("plan", "dev")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        "manage.sh: there is no bucket no-such-bucket for Terraform's states; run 'manage.sh init account' once.\n"
    )


def test_init_may_be_repeated(built, admin):
    before = admin.list_object_versions(Bucket=STATES, Prefix="account/")["Versions"]
    built.manage("account").ok("init", "account")
    assert admin.list_object_versions(Bucket=STATES, Prefix="account/")["Versions"] == before


def test_the_account_is_not_destroyed(built):
    refused = built.manage("account")("destroy", "account", "--yes")
    assert refused.returncode == 2
    assert "its bucket holds the states of every environment" in refused.stderr


@IN_FULL
def test_credentials_of_another_account_are_refused(built):
    refused = built.manage("dev")("plan", "dev", *built.arguments("dev"), "-var=account_id=210987654321")
    assert refused.returncode == 1
    assert "AWS account ID not allowed: 123456789012" in refused.stderr


# --- the bucket -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_bucket_has_versions_retention_and_its_marker(built, admin, environment):
    bucket = built[environment]["bucket"]
    assert admin.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    rules = {r["ID"]: r for r in admin.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]}
    assert rules["retention"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": 365, "NewerNoncurrentVersions": 20}
    assert rules["retention"]["Filter"] == {"Tag": {"Key": "dag-retention", "Value": "expired"}}
    assert "Expiration" not in rules["retention"], "a current object never expires"
    assert rules["logs"]["Filter"] == {"Prefix": f"logs/{environment}/"}
    marker = admin.get_object(Bucket=bucket, Key=f"pointers/{environment}/_environment.json")["Body"].read()
    retention = {"days": 365, "versions": 20}
    assert json.loads(marker) == {"schema": 1, "environment": environment, "retention": retention}


# --- what only this fake AWS enforces: AssumeRole, and services other than S3 --------------------------------


def outcome(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "ok"


@pytest.fixture(scope="module")
def assumed(aws, built):
    """Credentials of every role of dev, and of prod's publisher."""
    roles = built["dev"]["roles"]
    arns = {name: arn for name, arn in roles.items() if isinstance(arn, str)}
    arns |= {"publisher": roles["publishers"]["team_a"], "job": roles["jobs"]["team_a"]}
    arns["publisher in prod"] = built["prod"]["roles"]["publishers"]["team_a"]
    return {name: aws.assume(arn) for name, arn in arns.items()}


def test_who_has_no_policy_is_refused(aws, built):
    """Without it the refusals below would mean nothing."""
    nobody = aws.client("s3", aws.create_user("nobody"))
    bucket = built["dev"]["bucket"]
    assert outcome(nobody.put_object, Bucket=bucket, Key="dev/team_a/dags/a.py", Body=b"x") == "AccessDenied"
    assert outcome(nobody.list_objects_v2, Bucket=bucket) == "AccessDenied"
    assert outcome(aws.client("ecr", aws.create_user("nobody2")).describe_repositories) == "403"


def test_a_role_is_taken_by_named_principals_only(aws, built):
    """Being allowed to call AssumeRole is not enough."""
    stranger = aws.create_user("stranger", "sts:AssumeRole")
    roles = built["dev"]["roles"]
    for role in all_roles(roles):
        assert outcome(aws.assume, role_arn=role, caller=stranger) == "AccessDenied"
        assert outcome(aws.assume, role_arn=role) == "ok"


IMAGE = {"repositoryName": "airflow/team_a"}
OTHER_IMAGE = {"repositoryName": "airflow/team_a2"}
PUSH = {"imageManifest": json.dumps({"schemaVersion": 2}), "imageTag": "main-1"}
WHAT = {
    "push": ("ecr", "put_image", IMAGE | PUSH),
    "push to team_a2's": ("ecr", "put_image", OTHER_IMAGE | PUSH),
    "see images": ("ecr", "describe_images", IMAGE),
    "see team_a2's images": ("ecr", "describe_images", OTHER_IMAGE),
    "sign in to the registry": ("ecr", "get_authorization_token", {}),
    "delete a repository": ("ecr", "delete_repository", OTHER_IMAGE),
    "read a connection": ("secretsmanager", "get_secret_value", {"SecretId": "airflow/dev/connections/db"}),
    "read a variable": ("secretsmanager", "get_secret_value", {"SecretId": "airflow/dev/variables/x"}),
    "read prod's connection": ("secretsmanager", "get_secret_value", {"SecretId": "airflow/prod/connections/db"}),
    "read its job's secret": ("secretsmanager", "get_secret_value", {"SecretId": "airflow/dev/jobs/team_a/key"}),
    "read team_a2's secret": ("secretsmanager", "get_secret_value", {"SecretId": "airflow/dev/jobs/team_a2/key"}),
    "write a secret": ("secretsmanager", "put_secret_value", {"SecretId": "airflow/dev/variables/x", "SecretString": "y"}),
    "list secrets": ("secretsmanager", "list_secrets", {}),
    "see whether there are versions": ("s3", "get_bucket_versioning", {"Bucket": "BUCKET"}),
    "suspend versions": (
        "s3", "put_bucket_versioning", {"Bucket": "BUCKET", "VersioningConfiguration": {"Status": "Suspended"}},
    ),
    "change the bucket's policy": ("s3", "put_bucket_policy", {"Bucket": "BUCKET", "Policy": "{}"}),
    "delete the bucket": ("s3", "delete_bucket", {"Bucket": "BUCKET"}),
    "read the states": ("s3", "get_object", {"Bucket": STATES, "Key": "dev/terraform.tfstate"}),
    "read log groups": ("logs", "get_log_events", {"logGroupName": "/airflow/dev/jobs/team_a", "logStreamName": "x"}),
    "read prod's log groups": (
        "logs", "get_log_events", {"logGroupName": "/airflow/prod/jobs/team_a", "logStreamName": "x"},
    ),
    "make a user": ("iam", "create_user", {"UserName": "mine"}),
}  # fmt: skip
SECRETS = {"read a connection", "read a variable"}
MAY = {
    "publisher": {"push", "see images", "sign in to the registry", "see whether there are versions"},
    "publisher in prod": {"see images", "sign in to the registry"},
    "scheduler": SECRETS,
    "worker": SECRETS,
    "triggerer": SECRETS,
    "api_server": SECRETS,
    "dag_processor": set(),
    "dag_adopter": set(),
    "job": {"read its job's secret"},
    "operator": {"see images", "see team_a2's images", "see whether there are versions", "read log groups"},
}
DENIED = {"AccessDenied", "403"}  # the latter from services that answer in JSON


@pytest.fixture(scope="module")
def seeded(aws):
    secrets = aws.client("secretsmanager", aws.admin)
    for _, operation, arguments in WHAT.values():
        if operation == "get_secret_value":
            secrets.create_secret(Name=arguments["SecretId"], SecretString="x")


@pytest.mark.parametrize(
    "who", [pytest.param(who, marks=[] if who in ("publisher", "worker") else IN_FULL) for who in MAY]
)
def test_beyond_objects_a_role_does_what_is_listed_and_nothing_else(aws, built, assumed, seeded, who):
    answers = {}
    for what, (service, operation, arguments) in WHAT.items():
        arguments = {k: built["dev"]["bucket"] if v == "BUCKET" else v for k, v in arguments.items()}
        answers[what] = outcome(getattr(aws.client(service, assumed[who]), operation), **arguments)
    allowed = {what for what, answer in answers.items() if answer not in DENIED}
    assert allowed == MAY[who], answers


# --- two environments at once, and the end of one -----------------------------------------------------------


def on_a_terminal(manage, words, answer):
    """Exit code and output of manage.sh for somebody who types an answer."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "r+b", buffering=0) as terminal:
        env = {**os.environ, **manage.env}
        process = subprocess.Popen(
            [manage.script, *words], env=env, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        os.close(theirs)
        terminal.write(answer.encode())
        said, _ = process.communicate(timeout=120)
    return process.returncode, said


@IN_FULL
def test_a_destroy_that_failed_halfway_goes_on(aws, admin, tmp_path):
    """Terraform drops the outputs first: the bucket is found in the state."""
    manage = Manage({**aws.admin, "AIRFLOW_PLATFORM_STATE_DIR": str(tmp_path)})
    variables = ("--", "-var=environment=demo2", "-var=packages={}")
    manage.ok("apply", "demo", "--yes", *variables)
    bucket = "airflow-dags-demo2-123456789012"
    root = ["terraform", f"-chdir={tmp_path}/demo/root"]
    admin.put_object(Bucket=bucket, Key="demo2/x/dags/a.py", Body=b"x")
    arguments = [f"-var-file={ROOT}/terraform/environments/demo.tfvars", *variables[1:], "-auto-approve"]
    env = {**os.environ, **manage.env, "TF_DATA_DIR": str(tmp_path / "demo/data")}
    assert subprocess.run([*root, "destroy", *arguments], env=env, capture_output=True).returncode == 1

    refused = manage("destroy", "demo", "--yes", *variables)
    assert refused.returncode == 1 and f"bucket {bucket} still holds 1 object versions" in refused.stderr
    manage.ok("apply", "demo", "--yes", *variables)  # versioning went first, and without it nothing is emptied
    manage.ok("export", "demo", str(tmp_path / "export"))
    manage.ok("destroy", "demo", "--yes", "--exported", str(tmp_path / "export"), *variables)
    assert outcome(admin.head_bucket, Bucket=bucket) == "404"
    refused = manage("destroy", "demo", "--yes", "--exported", str(tmp_path / "export"), *variables)
    assert refused.returncode == 1
    assert refused.stderr == (
        "manage.sh: there is no bucket in the state of demo, so there is nothing to empty; run it without --exported.\n"
    )


@IN_FULL
def test_an_environment_is_exported_and_destroyed_and_only_then(aws, admin, tmp_path):
    """Beside another one that is applied meanwhile: staging and a demo in the same account."""
    built = Built(aws, tmp_path)
    built.manage("account").ok("init", "account")
    with ThreadPoolExecutor(2) as pool:
        made = pool.submit(built.apply, "staging")
        pool.submit(
            Manage({**aws.admin, "AIRFLOW_PLATFORM_STATE_DIR": str(tmp_path)}).ok, "apply", "demo", "--yes"
        ).result()
        made.result()
    bucket, manage = built["staging"]["bucket"], built.manage("staging")
    at = {"Bucket": bucket, "Key": "staging/team_a/dags/last.py"}
    admin.put_object(**at, Body=b"x = 1")
    admin.delete_object(**at)

    refused = manage("destroy", "staging", "--yes", *built.arguments("staging"))
    assert refused.returncode == 1
    assert refused.stderr == (
        f"manage.sh: bucket {bucket} still holds 2 object versions besides the marker, so nothing was deleted; run"
        " 'manage.sh export staging DIR' first, then 'manage.sh destroy staging --exported DIR'.\n"
    )
    assert aws.assume(built["staging"]["roles"]["dag_processor"]), "the roles are still there"

    manage.ok("export", "staging", str(tmp_path / "export"))
    admin.put_object(**at, Body=b"x = 2")
    refused = manage("destroy", "staging", "--yes", "--exported", str(tmp_path / "export"), *built.arguments("staging"))
    assert refused.returncode == 1 and "lacks 1 of the versions" in refused.stderr, refused.stderr
    assert admin.get_object(**at)["Body"].read() == b"x = 2"

    manage.ok("export", "staging", str(tmp_path / "export"))
    exported = ("--exported", str(tmp_path / "export"), *built.arguments("staging"))
    code, said = on_a_terminal(manage, ("destroy", "staging", *exported), "no\n")
    assert code == 1 and "Destroy staging, and every version in bucket" in said and "staging is as it was." in said
    assert admin.get_object(**at)["Body"].read() == b"x = 2", "nothing is emptied before somebody agreed"

    lock = {"Bucket": STATES, "Key": "staging/terraform.tfstate.tflock"}
    admin.put_object(**lock, Body=b'{"ID": "11111111-2222-3333-4444-555555555555"}')
    assert manage("destroy", "staging", "--yes", *exported).returncode == 1
    assert admin.get_object(**at)["Body"].read() == b"x = 2", "nor while somebody else applies"
    admin.delete_object(**lock)

    manage.ok("destroy", "staging", "--yes", *exported)
    assert outcome(admin.head_bucket, Bucket=bucket) == "404"
    gone = manage("output", "staging")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr == "manage.sh: staging has no outputs yet; run 'manage.sh apply staging' first.\n"
    assert outcome(admin.head_bucket, Bucket="airflow-dags-demo-123456789012") == "ok", "the other one is as it was"
