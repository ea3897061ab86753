"""What Terraform would build for the environments that are shipped."""

import json

import pytest

from tests.helpers.terraform import needs_terraform
from tests.terraform.policy import allows

pytestmark = needs_terraform

ACCOUNT = "123456789012"
COMPONENTS = ("scheduler", "dag_processor", "triggerer", "worker", "api_server", "dag_adopter")
READERS = ("scheduler", "dag_processor", "worker", "dag_adopter")  # of DAGs
LOGGERS = {"scheduler": True, "triggerer": True, "worker": True, "api_server": False}  # whether they write
PACKAGES = {
    "sales": {"publishers": [f"arn:aws:iam::{ACCOUNT}:role/sales-ci"]},
    "finance": {"publishers": [f"arn:aws:iam::{ACCOUNT}:user/finance-ci"]},
}


@pytest.fixture(scope="module", params=["dev", "staging", "prod"])
def environment(request):
    return request.param


@pytest.fixture(scope="module")
def plan(manage, environment):
    return manage.plan(environment, packages=PACKAGES)


@pytest.fixture(scope="module")
def bucket(environment):
    return f"arn:aws:s3:::airflow-dags-{environment}-{ACCOUNT}"


def test_the_set_of_resources(plan):
    assert set(plan.resources) == {
        *(f'aws_iam_role.component["{component}"]' for component in COMPONENTS),
        *(f'aws_iam_role_policy_attachment.component_reads_dags["{component}"]' for component in READERS),
        *(f'aws_iam_role_policy.logs["{component}"]' for component in LOGGERS),
        "aws_iam_role_policy.adopt",
        "module.dag_bucket.aws_s3_bucket.this",
        "module.dag_bucket.aws_s3_bucket_lifecycle_configuration.this[0]",
        "module.dag_bucket.aws_s3_bucket_ownership_controls.this",
        "module.dag_bucket.aws_s3_bucket_policy.this[0]",
        "module.dag_bucket.aws_s3_bucket_public_access_block.this",
        "module.dag_bucket.aws_s3_bucket_server_side_encryption_configuration.this",
        "module.dag_bucket.aws_s3_bucket_versioning.this",
        "module.dag_bucket.aws_s3_object.environment_marker",
        "module.dag_read.aws_iam_policy.this",
        *(
            f'module.{resource}["{package}"].{address}'
            for package in PACKAGES
            for resource, address in [
                ("package_role", "aws_iam_role.this"),
                ("package_role", "aws_iam_role_policy.this"),
                ("ecr_repository", "aws_ecr_repository.this"),
                ("ecr_repository", "aws_ecr_lifecycle_policy.this"),
            ]
        ),
    }


def test_names_carry_the_environment(plan, environment):
    names = {
        values.get("bucket") if "s3" in address else values["name"]
        for address, values in plan.resources.items()
        if address.split(".")[-2] in ("aws_s3_bucket", "aws_iam_role", "aws_iam_policy", "aws_ecr_repository")
    }
    assert names == {
        f"airflow-dags-{environment}-{ACCOUNT}",
        *(f"airflow-{environment}-{component.replace('_', '-')}" for component in COMPONENTS),
        f"airflow-{environment}-dag-read",
        f"airflow-{environment}-publish-finance",
        f"airflow-{environment}-publish-sales",
        f"airflow-{environment}/finance",
        f"airflow-{environment}/sales",
    }


def test_the_bucket_keeps_versions_and_is_closed(plan):
    module = "module.dag_bucket.aws_s3_bucket"
    assert plan[f"{module}_versioning.this"]["versioning_configuration"][0]["status"] == "Enabled"
    assert plan[f"{module}.this"]["force_destroy"] is False
    assert plan[f"{module}_ownership_controls.this"]["rule"] == [{"object_ownership": "BucketOwnerEnforced"}]
    [rule] = plan[f"{module}_server_side_encryption_configuration.this"]["rule"]
    assert rule["apply_server_side_encryption_by_default"][0]["sse_algorithm"] == "AES256"
    access = plan[f"{module}_public_access_block.this"]
    switches = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
    assert [access[s] for s in switches] == [True] * 4


def test_requests_without_tls_are_refused(plan, bucket):
    [statement] = plan.statements("module.dag_bucket.aws_s3_bucket_policy.this[0]")
    assert statement.pop("Sid")
    assert statement == {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"{bucket}/*", bucket],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def test_a_version_expires_only_when_old_and_beyond_the_newest(plan):
    """The days alone would end the rollback of a package that is seldom published."""
    [rule] = plan["module.dag_bucket.aws_s3_bucket_lifecycle_configuration.this[0]"]["rule"]
    assert rule["status"] == "Enabled"
    [expiration] = rule["noncurrent_version_expiration"]
    assert expiration == {"noncurrent_days": 365, "newer_noncurrent_versions": 20}
    assert rule["abort_incomplete_multipart_upload"] == [{"days_after_initiation": 1}]
    assert rule["expiration"] == [], "a current object never expires"


def test_the_marker_names_the_environment(plan, environment):
    marker = plan["module.dag_bucket.aws_s3_object.environment_marker"]
    assert marker["key"] == f"pointers/{environment}/_environment.json"
    assert json.loads(marker["content"]) == {"schema": 1, "environment": environment}


def test_a_tag_of_an_image_is_for_ever(plan):
    repository = plan['module.ecr_repository["sales"].aws_ecr_repository.this']
    assert repository["image_tag_mutability"] == "IMMUTABLE"
    assert repository["image_scanning_configuration"] == [{"scan_on_push": True}]
    rules = json.loads(plan['module.ecr_repository["sales"].aws_ecr_lifecycle_policy.this']["policy"])["rules"]
    assert [(r["selection"]["tagStatus"], r["selection"]["countType"]) for r in rules] == [
        ("untagged", "sinceImagePushed"),
        ("tagged", "imageCountMoreThan"),
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_only_the_named_publishers_take_a_package_s_role(plan, package):
    [statement] = plan.statements(f'module.package_role["{package}"].aws_iam_role.this', "assume_role_policy")
    assert statement["Action"] == "sts:AssumeRole"
    assert statement["Principal"] == {"AWS": PACKAGES[package]["publishers"][0]}


@pytest.mark.parametrize("role", COMPONENTS)
def test_without_named_readers_the_account_decides_who_reads(plan, role):
    [statement] = plan.statements(f'aws_iam_role.component["{role}"]', "assume_role_policy")
    assert statement["Principal"] == {"AWS": ACCOUNT}


def test_every_statement_has_a_sid(plan):
    policies = [
        (address, attribute)
        for address, values in plan.resources.items()
        for attribute in ("policy", "assume_role_policy")
        if attribute in values and "lifecycle" not in address
    ]
    assert len(policies) == 17
    assert all(statement.get("Sid") for policy in policies for statement in plan.statements(*policy))


PUBLISHER = [
    # action, key or listed prefix, allowed
    ("s3:PutObject", "{e}/sales/dags/a.py", True),
    ("s3:GetObject", "{e}/sales/dags/a.py", True),
    ("s3:GetObjectVersion", "{e}/sales/dags/sub/a.py", True),
    ("s3:DeleteObject", "{e}/sales/dags/a.py", True),
    ("s3:DeleteObjectVersion", "{e}/sales/dags/a.py", False),
    ("s3:PutObject", "{e}/sales/other/a.py", False),
    ("s3:PutObject", "{e}/sales/dags2/a.py", False),
    ("s3:PutObject", "{e}/sales2/dags/a.py", False),
    ("s3:PutObject", "{e}/finance/dags/a.py", False),
    ("s3:GetObject", "{e}/finance/dags/a.py", False),
    ("s3:PutObject", "other/sales/dags/a.py", False),
    ("s3:PutObject", "manifests/{e}/sales/v.json", True),
    ("s3:GetObject", "manifests/{e}/sales/v.json", True),
    ("s3:GetObjectVersion", "manifests/{e}/sales/v.json", True),
    ("s3:DeleteObject", "manifests/{e}/sales/v.json", False),
    ("s3:PutObject", "manifests/{e}/sales2/v.json", False),
    ("s3:PutObject", "manifests/other/sales/v.json", False),
    ("s3:PutObject", "pointers/{e}/sales.json", True),
    ("s3:GetObject", "pointers/{e}/sales.json", True),
    ("s3:GetObjectVersion", "pointers/{e}/sales.json", True),
    ("s3:DeleteObject", "pointers/{e}/sales.json", False),
    ("s3:PutObject", "pointers/{e}/sales2.json", False),
    ("s3:PutObject", "pointers/{e}/_environment.json", False),
    ("s3:PutObject", "pointers/other/sales.json", False),
    ("s3:ListBucket", "{e}/sales/dags/", True),
    ("s3:ListBucketVersions", "{e}/sales/dags/", True),
    ("s3:ListBucket", "manifests/{e}/sales/", True),
    ("s3:ListBucketVersions", "manifests/{e}/sales/", True),
    ("s3:ListBucket", "pointers/{e}/sales.json", True),
    ("s3:ListBucketVersions", "pointers/{e}/sales.json", True),
    ("s3:ListBucket", "{e}/sales2/dags/", False),
    ("s3:ListBucket", "{e}/finance/dags/", False),
    ("s3:ListBucket", "manifests/{e}/sales2/", False),
    ("s3:ListBucket", "pointers/{e}/", False),
    ("s3:ListBucket", "", False),
    ("s3:ListBucket", None, False),
    ("s3:PutBucketVersioning", None, False),
    ("s3:GetBucketVersioning", None, True),
]

READER = [
    ("s3:GetObject", "{e}/sales/dags/a.py", True),
    ("s3:GetObjectVersion", "{e}/sales/dags/a.py", True),
    ("s3:GetObject", "manifests/{e}/sales/v.json", True),
    ("s3:GetObjectVersion", "manifests/{e}/sales/v.json", True),
    ("s3:GetObject", "pointers/{e}/sales.json", True),
    ("s3:GetObjectVersion", "pointers/{e}/sales.json", True),
    ("s3:GetObject", "other/sales/dags/a.py", False),
    ("s3:GetObject", "{e}2/sales/dags/a.py", False),
    ("s3:GetObject", "manifests/other/sales/v.json", False),
    ("s3:GetObject", "pointers/other/sales.json", False),
    ("s3:ListBucket", "pointers/{e}/", True),
    ("s3:ListBucket", "pointers/other/", False),
    ("s3:ListBucket", "{e}/sales/dags/", True),
    ("s3:ListBucketVersions", "manifests/{e}/sales/", True),
    ("s3:ListBucketVersions", "pointers/{e}/sales.json", True),
    ("s3:ListBucket", "manifests/other/", False),
    ("s3:ListBucketVersions", "other/", False),
    ("s3:ListBucket", None, False),
    ("s3:PutObject", "pointers/{e}/sales.json", False),
    ("s3:DeleteObject", "{e}/sales/dags/a.py", False),
]

ADOPTER = [
    ("s3:PutObject", "manifests/{e}/sales/v.json", True),
    ("s3:PutObject", "pointers/{e}/sales.json", True),
    ("s3:ListBucket", "{e}/", True),
    ("s3:ListBucket", "{e}/sales/dags/", True),
    ("s3:ListBucket", "other/", False),
    ("s3:PutObject", "{e}/sales/dags/a.py", False),
    ("s3:PutObject", "manifests/other/sales/v.json", False),
    ("s3:DeleteObject", "pointers/{e}/sales.json", False),
]


def verdicts(statements, requests, bucket, environment):
    """The requests again, each with what the policy makes of it."""
    for action, key, _ in requests:
        place = None if key is None else key.format(e=environment)
        of_bucket = action.startswith("s3:ListBucket") or "Bucket" in action
        resource = bucket if of_bucket else f"{bucket}/{place}"
        yield action, key, allows(statements, action, resource, prefix=place)


def test_a_publisher_writes_its_own_places_only(plan, bucket, environment):
    statements = plan.statements('module.package_role["sales"].aws_iam_role_policy.this')
    assert list(verdicts(statements, PUBLISHER, bucket, environment)) == PUBLISHER


def test_a_reader_reads_its_own_environment_only(plan, bucket, environment):
    statements = plan.statements("module.dag_read.aws_iam_policy.this")
    assert list(verdicts(statements, READER, bucket, environment)) == READER


def test_the_adopter_adds_manifests_and_pointers_to_a_reader(plan, bucket, environment):
    reads = plan.statements("module.dag_read.aws_iam_policy.this")
    statements = reads + plan.statements("aws_iam_role_policy.adopt")
    assert list(verdicts(statements, ADOPTER, bucket, environment)) == ADOPTER


@pytest.mark.parametrize(("component", "writes"), LOGGERS.items())
def test_task_logs_are_apart_from_dags(plan, bucket, environment, component, writes):
    requests = [
        ("s3:GetObject", "logs/{e}/dag_id=x/a.log", True),
        ("s3:PutObject", "logs/{e}/dag_id=x/a.log", writes),
        ("s3:ListBucket", "logs/{e}/dag_id=x/", True),
        ("s3:PutObject", "{e}/sales/dags/a.py", False),
        ("s3:GetObject", "logs/other/a.log", False),
        ("s3:DeleteObject", "logs/{e}/dag_id=x/a.log", False),
    ]
    statements = plan.statements(f'aws_iam_role_policy.logs["{component}"]')
    assert list(verdicts(statements, requests, bucket, environment)) == requests


def test_policies_name_every_action(plan):
    """A wildcard would grow with AWS."""
    addresses = [a for a in plan.resources if a.endswith(("iam_role_policy.this", "iam_policy.this", "policy.adopt"))]
    assert len(addresses) == 4
    actions = {action for a in addresses for s in plan.statements(a) for action in [s["Action"]] if "*" in str(action)}
    assert actions == set()
