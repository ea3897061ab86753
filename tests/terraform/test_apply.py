"""The demo's environment, applied to a fake AWS that enforces IAM, and used through its roles."""

import json

import jsonschema
import pytest
from botocore.exceptions import ClientError

from tests.helpers.terraform import ROOT, Manage, needs_terraform

pytestmark = needs_terraform

MARKER = "pointers/demo/_environment.json"


@pytest.fixture(scope="module")
def demo(manage):
    """The outputs of the applied environment."""
    manage.ok("apply", "demo", "--yes")
    return json.loads(manage.ok("output", "demo"))


@pytest.fixture(scope="module")
def admin(aws):
    return aws.client("s3", aws.admin)


@pytest.fixture(scope="module")
def sales(aws, demo):
    return aws.client("s3", aws.assume(demo["roles"]["publishers"]["sales"]))


@pytest.fixture(scope="module")
def dag_sync(aws, demo):
    return aws.client("s3", aws.assume(demo["roles"]["dag_processor"]))


@pytest.fixture(scope="module")
def dag_adopter(aws, demo):
    return aws.client("s3", aws.assume(demo["roles"]["dag_adopter"]))


def outcome(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "ok"


def put(client, demo, key):
    return outcome(client.put_object, Bucket=demo["bucket"], Key=key, Body=b"x")


def test_the_second_plan_is_empty(manage, demo):
    assert "No changes." in manage.ok("plan", "demo")


def test_outputs_follow_their_schema(demo):
    jsonschema.validate(demo, json.loads((ROOT / "docs/reference/outputs.schema.json").read_text()))
    assert set(demo["roles"]["publishers"]) == set(demo["repositories"]) == {"finance", "sales"}


def test_output_is_the_document_and_nothing_else(manage, demo, tmp_path):
    """Programs read it: no warning of Terraform, such as of a missing CLI configuration, may stand around it."""
    done = Manage({**manage.env, "TF_CLI_CONFIG_FILE": str(tmp_path / "missing")}, cwd=tmp_path)(
        "output", "demo", "--file", "outputs.json"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((tmp_path / "outputs.json").read_text()) == demo


def test_the_bucket_has_versions_and_its_marker(demo, admin):
    assert admin.get_bucket_versioning(Bucket=demo["bucket"])["Status"] == "Enabled"
    marker = admin.get_object(Bucket=demo["bucket"], Key=MARKER)["Body"].read()
    assert json.loads(marker) == {"schema": 1, "environment": "demo"}


def test_who_has_no_policy_is_refused(aws, demo):
    """Without it the refusals below would mean nothing."""
    nobody = aws.client("s3", aws.create_user("nobody"))
    assert put(nobody, demo, "demo/sales/dags/a.py") == "AccessDenied"
    assert outcome(nobody.get_object, Bucket=demo["bucket"], Key=MARKER) == "AccessDenied"
    assert outcome(nobody.list_objects_v2, Bucket=demo["bucket"]) == "AccessDenied"


def test_a_role_is_taken_by_named_principals_only(aws, demo):
    """Being allowed to call AssumeRole is not enough."""
    stranger = aws.create_user("stranger", "sts:AssumeRole")
    for role in (demo["roles"]["dag_processor"], demo["roles"]["dag_adopter"], *demo["roles"]["publishers"].values()):
        assert outcome(aws.assume, role_arn=role, caller=stranger) == "AccessDenied"
        assert outcome(aws.assume, role_arn=role) == "ok"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("demo/sales/dags/a.py", "ok"),
        ("demo/sales/dags/folder/a+b é.py", "ok"),
        ("manifests/demo/sales/v.json", "ok"),
        ("pointers/demo/sales.json", "ok"),
        ("demo/finance/dags/a.py", "AccessDenied"),
        ("demo/sales2/dags/a.py", "AccessDenied"),
        ("dev/sales/dags/a.py", "AccessDenied"),
        ("manifests/demo/finance/v.json", "AccessDenied"),
        ("manifests/dev/sales/v.json", "AccessDenied"),
        ("pointers/demo/finance.json", "AccessDenied"),
        ("pointers/dev/sales.json", "AccessDenied"),
        (MARKER, "AccessDenied"),
    ],
)
def test_a_publisher_puts_into_its_own_places_only(sales, demo, key, expected):
    assert put(sales, demo, key) == expected


def test_a_publisher_deletes_files_but_no_version(sales, demo):
    """What is deleted must stay restorable."""
    at = {"Bucket": demo["bucket"], "Key": "demo/sales/dags/deleted.py"}
    version = sales.put_object(**at, Body=b"x")["VersionId"]
    assert outcome(sales.delete_object, **at) == "ok"
    assert outcome(sales.delete_object, **at, VersionId=version) == "AccessDenied"
    assert sales.get_object(**at, VersionId=version)["Body"].read() == b"x"


def test_a_publisher_deletes_no_manifest_and_no_pointer(sales, demo):
    for key in ("manifests/demo/sales/v.json", "pointers/demo/sales.json"):
        assert put(sales, demo, key) == "ok"
        assert outcome(sales.delete_object, Bucket=demo["bucket"], Key=key) == "AccessDenied"


def test_a_publisher_can_see_that_versioning_is_on(sales, demo):
    assert sales.get_bucket_versioning(Bucket=demo["bucket"])["Status"] == "Enabled"


def test_dag_sync_reads_and_does_not_write(dag_sync, admin, demo):
    at = {"Bucket": demo["bucket"], "Key": "demo/sales/dags/read.py"}
    version = admin.put_object(**at, Body=b"x")["VersionId"]
    assert dag_sync.get_object(**at, VersionId=version)["Body"].read() == b"x"
    listing = dag_sync.list_objects_v2(Bucket=demo["bucket"], Prefix="pointers/demo/")
    assert MARKER in [o["Key"] for o in listing["Contents"]]
    for key in ("demo/sales/dags/read.py", "manifests/demo/sales/w.json", "pointers/demo/sales.json"):
        assert put(dag_sync, demo, key) == "AccessDenied"
        assert outcome(dag_sync.delete_object, Bucket=demo["bucket"], Key=key) == "AccessDenied"


def test_dag_adopter_writes_manifests_and_pointers_but_no_files(dag_adopter, demo):
    assert put(dag_adopter, demo, "manifests/demo/sales/adopted.json") == "ok"
    assert put(dag_adopter, demo, "pointers/demo/finance.json") == "ok"
    assert put(dag_adopter, demo, "demo/sales/dags/a.py") == "AccessDenied"
    assert put(dag_adopter, demo, "pointers/dev/sales.json") == "AccessDenied"


def test_destroy_is_refused_while_the_bucket_holds_dags(manage, aws, admin, demo):
    """Terraform would delete the roles before it failed on the bucket."""
    bucket = demo["bucket"]
    empty(admin, bucket)
    at = {"Bucket": bucket, "Key": "demo/sales/dags/last.py"}
    admin.put_object(**at, Body=b"x")
    admin.delete_object(**at)
    refused = manage("destroy", "demo", "--yes")
    assert refused.returncode == 1
    assert refused.stderr == (
        f"manage.sh: bucket {bucket} still holds 2 object versions besides the marker, so nothing was deleted;"
        " empty it first, old versions and delete markers too.\n"
    )
    assert aws.assume(demo["roles"]["dag_processor"]), "the roles are still there"

    empty(admin, bucket)
    manage.ok("destroy", "demo", "--yes")
    gone = manage("output", "demo")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr == "manage.sh: demo has no outputs yet; run 'manage.sh apply demo' first.\n"


def empty(client, bucket):
    listing = client.list_object_versions(Bucket=bucket)
    for entry in listing["Versions"] + listing.get("DeleteMarkers", []):
        if entry["Key"] != MARKER:
            client.delete_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])
