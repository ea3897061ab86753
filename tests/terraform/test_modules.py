"""What each module builds, by its example and by what the example leaves out."""

import json
import re

import pytest
import tftest

import dag_protocol as protocol
from scripts.local.plans import statements
from scripts.local.terraform import TERRAFORM, Modules
from scripts.pinned import ROOT
from tests.helpers.needs import needs_terraform
from tests.terraform.policy import allows

pytestmark = needs_terraform

ACCOUNT = "123456789012"
KEY = f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
COPIES_KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/66666666-7777-8888-9999-000000000000"
BUCKET = f"arn:aws:s3:::airflow-dags-dev-{ACCOUNT}"
SECRETS = f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret"
REPOSITORY = f"arn:aws:ecr:eu-central-1:{ACCOUNT}:repository/airflow/sales"
CI = f"arn:aws:iam::{ACCOUNT}:role/ci"
GITHUB = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
GITLAB = f"arn:aws:iam::{ACCOUNT}:oidc-provider/gitlab.com"
CLUSTER = {"name": "main", "arn": f"arn:aws:eks:eu-central-1:{ACCOUNT}:cluster/main", "identity": "pod_identity"}

EXAMPLES = {
    "bucket-owner": set(),
    "closed-bucket": {
        "aws_s3_bucket.this",
        *(
            f"module.closed_bucket.aws_s3_bucket_{what}.this"
            for what in (
                "ownership_controls",
                "policy",
                "public_access_block",
                "server_side_encryption_configuration",
                "versioning",
            )
        ),
    },
    "dag-adopt": set(),
    "dag-bucket": {
        "module.dag_bucket.aws_iam_role.replication[0]",
        "module.dag_bucket.aws_iam_role_policy.replication[0]",
        "module.dag_bucket.aws_s3_bucket.this",
        "module.dag_bucket.aws_s3_bucket_lifecycle_configuration.this[0]",
        "module.dag_bucket.aws_s3_bucket_logging.this[0]",
        "module.dag_bucket.module.closed.aws_s3_bucket_ownership_controls.this",
        "module.dag_bucket.module.closed.aws_s3_bucket_policy.this",
        "module.dag_bucket.module.closed.aws_s3_bucket_public_access_block.this",
        "module.dag_bucket.aws_s3_bucket_replication_configuration.this[0]",
        "module.dag_bucket.module.closed.aws_s3_bucket_server_side_encryption_configuration.this",
        "module.dag_bucket.module.closed.aws_s3_bucket_versioning.this",
        "module.dag_bucket.aws_s3_object.environment_marker",
    },
    "dag-read": set(),
    "ecr-repository": {
        "module.ecr_repository.aws_ecr_lifecycle_policy.this",
        "module.ecr_repository.aws_ecr_repository.this",
        "module.ecr_repository.aws_ecr_repository_policy.this[0]",
    },
    "job-role": {
        'module.role.module.role.aws_eks_pod_identity_association.this["risk-reports"]',
        "module.role.module.role.aws_iam_role.this",
        'module.role.module.role.aws_iam_role_policy.this["secrets"]',
        'module.role.module.role.aws_iam_role_policy_attachment.this["lake"]',
    },
    "observability": {
        'module.observability.aws_cloudwatch_log_group.this["dag-sync"]',
        'module.observability.aws_cloudwatch_log_group.this["jobs/finance"]',
        'module.observability.aws_cloudwatch_log_group.this["jobs/sales"]',
        'module.observability.aws_cloudwatch_log_group.this["scheduler"]',
    },
    "oidc-provider": {"module.github.aws_iam_openid_connect_provider.this"},
    "operator-role": {"module.operator_role.aws_iam_role.this", "module.operator_role.aws_iam_role_policy.this"},
    "package-role": {"module.package_role.aws_iam_role.this", "module.package_role.aws_iam_role_policy.this"},
    "remote-logs": set(),
    "role-trust": set(),
    "secrets-read": set(),
    "service-account-role": {"module.role.aws_iam_role.this", 'module.role.aws_iam_role_policy.this["dag-read"]'},
    "state-backend": {
        "module.state_backend.aws_s3_bucket.this",
        "module.state_backend.aws_s3_bucket_lifecycle_configuration.this",
        "module.state_backend.module.closed.aws_s3_bucket_ownership_controls.this",
        "module.state_backend.module.closed.aws_s3_bucket_policy.this",
        "module.state_backend.module.closed.aws_s3_bucket_public_access_block.this",
        "module.state_backend.module.closed.aws_s3_bucket_server_side_encryption_configuration.this",
        "module.state_backend.module.closed.aws_s3_bucket_versioning.this",
    },
}

BUCKET_OF_DEV = {"source": "../modules/dag-bucket", "name": f"airflow-dags-dev-{ACCOUNT}", "environment": "dev"}
PUBLISHER = {
    "source": "../modules/package-role",
    "environment": "dev",
    "package": "sales",
    "bucket_arn": BUCKET,
    "account_id": ACCOUNT,
    "image_repository": {"arn": REPOSITORY},
    "oidc_provider_arns": {"github": GITHUB, "gitlab": GITLAB},
}
OF_DEV = {"environment": "dev", "bucket_arn": BUCKET, "account_id": ACCOUNT}
WORKER = {
    "source": "../modules/service-account-role",
    "name": "airflow-dev-worker",
    "description": "",
    "service_accounts": {"namespace": "airflow", "names": ["airflow-worker"]},
}
VARIANTS = {
    "plain": BUCKET_OF_DEV,
    "by_endpoint": BUCKET_OF_DEV
    | {
        "vpc_endpoint_ids": ["vpce-0a", "vpce-0b"],
        "exempt_from_vpc_endpoints": [f"arn:aws:iam::{ACCOUNT}:role/ops/terraform"],
    },
    "for_ever": BUCKET_OF_DEV | {"noncurrent_days": 0, "log_days": 0},
    "logs_alone": BUCKET_OF_DEV | {"noncurrent_days": 0},
    "logs_for_ever": BUCKET_OF_DEV | {"log_days": 0},
    "plain_copy": BUCKET_OF_DEV | {"replication": {"bucket_arn": "arn:aws:s3:::copy"}},
    "repository": {"source": "../modules/ecr-repository", "name": "airflow/sales"},
    "by_branch": PUBLISHER | {"github": {"repository": "acme/sales-dags", "branch": "release/1"}},
    "by_gitlab": PUBLISHER | {"gitlab": {"project": "acme/data/sales"}},
    "by_approved_gitlab": PUBLISHER | {"gitlab": {"project": "acme/data/sales"}, "approval_environment": "production"},
    "by_name": PUBLISHER | {"principals": [CI]},
    "by_all": PUBLISHER
    | {"github": {"repository": "a/b"}, "gitlab": {"project": "c/d"}, "principals": [CI]}
    | {"image_repository": {"arn": REPOSITORY, "push": True}, "kms_key_arn": KEY},
    "with_pod_identity": WORKER | {"cluster": CLUSTER},
    "of_nobody_s_pods": WORKER | {"principals": [CI]},
    "operator_with_key": {
        "source": "../modules/operator-role",
        "image_repositories_arn": REPOSITORY,
        "log_groups_arn": "arn:aws:logs:eu-central-1:123456789012:log-group:/airflow/dev/*",
        "principals": [CI],
        "kms_key_arn": KEY,
        **OF_DEV,
    },
    "state_with_key": {"source": "../modules/state-backend", "name": "states", "kms_key_arn": KEY},
    "dag_read_with_key": {"source": "../modules/dag-read", "kms_key_arn": KEY, **OF_DEV},
    "dag_adopt_with_key": {"source": "../modules/dag-adopt", "kms_key_arn": KEY, **OF_DEV},
    "logs_with_key": {"source": "../modules/remote-logs", "write": True, "kms_key_arn": KEY, **OF_DEV},
    "read_logs_with_key": {"source": "../modules/remote-logs", "kms_key_arn": KEY, **OF_DEV},
    "secrets_with_key": {
        "source": "../modules/secrets-read",
        "secrets_arn": SECRETS,
        "prefixes": ["airflow/dev/connections"],
        "kms_key_arn": KEY,
    },
}
DOCUMENTS = {
    **dict.fromkeys(("bucket_owner", "dag_adopt", "dag_read", "remote_logs", "secrets_read"), "policy"),
    **{
        name: "json"
        for name in VARIANTS
        if name.endswith("_with_key") and name not in ("operator_with_key", "state_with_key")
    },
}


@pytest.fixture(scope="module")
def modules(aws, tmp_path_factory):
    return Modules(tmp_path_factory.mktemp("modules"), aws.admin)


@pytest.fixture(scope="module")
def plan(modules):
    """One plan of every example, and of the variants beside them."""
    examples = {name.replace("-", "_"): {"source": f"../modules/{name}/example"} for name in EXAMPLES}
    outputs = {name: {"value": f"${{module.{name}.{output}}}"} for name, output in DOCUMENTS.items()}
    return modules.plan("examples", module=examples | VARIANTS, output=outputs)


def closed(bucket):
    """The address of a bucket's resources in the module that closes it."""
    return bucket.replace("aws_s3_bucket", "module.closed.aws_s3_bucket")


def below(plan, prefix):
    """The addresses in a module, without its own."""
    return {address.removeprefix(prefix) for address in plan.resources if address.startswith(prefix)}


def sids(policy):
    return [statement["Sid"] for statement in policy]


@pytest.mark.parametrize("module", sorted(path.name for path in TERRAFORM.glob("modules/*")))
def test_an_example_builds_these_resources(plan, module):
    assert below(plan, f"module.{module.replace('-', '_')}.") == EXAMPLES[module]


# --- dag-bucket -----------------------------------------------------------------------------------------------

S3 = "module.dag_bucket.module.dag_bucket.aws_s3_bucket"
OPTIONAL = {
    "aws_iam_role.replication[0]",
    "aws_iam_role_policy.replication[0]",
    "aws_s3_bucket_logging.this[0]",
    "aws_s3_bucket_replication_configuration.this[0]",
}


def test_a_bucket_keeps_its_versions_and_is_closed(plan):
    assert plan[f"{closed(S3)}_versioning.this"]["versioning_configuration"][0]["status"] == "Enabled"
    assert plan[f"{S3}.this"]["force_destroy"] is False
    assert plan[f"{closed(S3)}_ownership_controls.this"]["rule"] == [{"object_ownership": "BucketOwnerEnforced"}]
    access = plan[f"{closed(S3)}_public_access_block.this"]
    switches = ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets")
    assert [access[s] for s in switches] == [True] * 4


def test_the_marker_names_the_environment(plan):
    marker = plan["module.dag_bucket.module.dag_bucket.aws_s3_object.environment_marker"]
    assert marker["key"] == "pointers/dev/_environment.json"
    retention = {"days": 365, "versions": 20}
    assert json.loads(marker["content"]) == {"schema": 1, "environment": "dev", "retention": retention}


@pytest.mark.parametrize(
    ("address", "algorithm", "key"),
    [
        (S3, "aws:kms", KEY),
        ("module.plain.aws_s3_bucket", "AES256", ""),
        ("module.state_backend.module.state_backend.aws_s3_bucket", "AES256", ""),
        ("module.state_with_key.aws_s3_bucket", "aws:kms", KEY),
    ],
)
def test_a_bucket_is_encrypted(plan, address, algorithm, key):
    [rule] = plan[f"{closed(address)}_server_side_encryption_configuration.this"]["rule"]
    [default] = rule["apply_server_side_encryption_by_default"]
    assert (default["sse_algorithm"], default["kms_master_key_id"]) == (algorithm, key)
    assert rule["bucket_key_enabled"] is bool(key), "without a bucket key each object is a request to KMS"


def test_a_version_expires_only_when_old_and_beyond_the_newest(plan):
    """The days alone would end the rollback of a package that is seldom published; both of them the live version itself."""
    retention, logs, markers, uploads, pointers = plan[f"{S3}_lifecycle_configuration.this[0]"]["rule"]
    assert {rule["status"] for rule in (retention, logs, markers, uploads, pointers)} == {"Enabled"}
    expires = [{"noncurrent_days": 365, "newer_noncurrent_versions": 20}]
    assert retention["noncurrent_version_expiration"] == pointers["noncurrent_version_expiration"] == expires
    [tag] = retention["filter"][0]["tag"]
    assert (tag["key"], tag["value"]) == protocol.EXPIRED, "nothing goes but what dag-adopter tagged"
    assert pointers["filter"][0]["prefix"] == "pointers/"
    assert retention["expiration"] == pointers["expiration"] == [], "a current object never expires"
    assert uploads["abort_incomplete_multipart_upload"] == [{"days_after_initiation": 1}]
    assert uploads["expiration"] == uploads["noncurrent_version_expiration"] == []


def test_task_logs_go_by_age(plan):
    _, logs, markers, _, _ = plan[f"{S3}_lifecycle_configuration.this[0]"]["rule"]
    assert logs["filter"][0]["prefix"] == "logs/dev/"
    assert logs["expiration"][0]["days"] == 90
    assert logs["noncurrent_version_expiration"] == [{"noncurrent_days": 1, "newer_noncurrent_versions": None}]
    assert markers["filter"][0]["prefix"] == "logs/dev/", "a delete marker of a DAG is history"
    assert markers["expiration"][0]["expired_object_delete_marker"] is True


@pytest.mark.parametrize(
    ("variant", "retention", "logs"), [("logs_alone", "Disabled", "Enabled"), ("logs_for_ever", "Enabled", "Disabled")]
)
def test_for_ever_is_no_rule(plan, variant, retention, logs):
    rules = plan[f"module.{variant}.aws_s3_bucket_lifecycle_configuration.this[0]"]["rule"]
    assert {rule["id"]: rule["status"] for rule in rules} == {
        "retention": retention,
        "logs": logs,
        "log-markers": logs,
        "uploads": "Enabled",
        "pointers": retention,
    }
    assert not [a for a in plan.resources if "module.for_ever" in a and "lifecycle" in a]


def test_access_logs_and_a_copy_are_there_when_asked(plan):
    made = {address.removeprefix("module.dag_bucket.") for address in EXAMPLES["dag-bucket"]}
    assert below(plan, "module.plain.") == made - OPTIONAL
    logging = plan[f"{S3}_logging.this[0]"]
    assert logging["target_bucket"] == f"access-logs-{ACCOUNT}"
    assert logging["target_prefix"] == f"airflow-dags-dev-{ACCOUNT}/"


def test_every_version_is_copied_with_the_key_of_the_copies(plan):
    [rule] = plan[f"{S3}_replication_configuration.this[0]"]["rule"]
    [to] = rule["destination"]
    assert (rule["status"], rule["prefix"], rule["delete_marker_replication"]) == (
        "Enabled",
        None,
        [{"status": "Enabled"}],
    )
    assert (to["bucket"], to["encryption_configuration"]) == (
        "arn:aws:s3:::airflow-dags-copy",
        [{"replica_kms_key_id": COPIES_KEY}],
    )
    assert rule["source_selection_criteria"][0]["sse_kms_encrypted_objects"] == [{"status": "Enabled"}]
    policy = plan.statements("module.dag_bucket.module.dag_bucket.aws_iam_role_policy.replication[0]")
    assert sids(policy) == ["ReadConfiguration", "ReadVersions", "WriteCopies", "DecryptHere", "EncryptThere"]
    assert allows(policy, "s3:ReplicateObject", "arn:aws:s3:::airflow-dags-copy/dev/sales/dags/a.py")
    assert not allows(policy, "s3:ReplicateObject", f"{BUCKET}/dev/sales/dags/a.py")
    assert not allows(policy, "s3:PutObject", "arn:aws:s3:::airflow-dags-copy/dev/sales/dags/a.py")


def test_a_copy_without_keys_names_none(plan):
    [rule] = plan["module.plain_copy.aws_s3_bucket_replication_configuration.this[0]"]["rule"]
    assert rule["source_selection_criteria"] == rule["destination"][0]["encryption_configuration"] == []
    policy = plan.statements("module.plain_copy.aws_iam_role_policy.replication[0]")
    assert sids(policy) == ["ReadConfiguration", "ReadVersions", "WriteCopies"]


TLS = {"aws:SecureTransport": "true"}
INSIDE = TLS | {"aws:SourceVpce": "vpce-0123456789abcdef0"}
SSE = "s3:x-amz-server-side-encryption"
SSE_KEY = f"{SSE}-aws-kms-key-id"
CUSTOMER = f"{SSE}-customer-algorithm"


@pytest.mark.parametrize(
    ("headers", "takes_plain", "takes_kms"),
    [
        ({}, True, True),  # the bucket's own
        ({SSE: "AES256"}, True, False),
        ({SSE: "aws:kms"}, False, False),  # AWS's own key
        ({SSE: "aws:kms", SSE_KEY: KEY}, False, True),
        ({SSE: "aws:kms", SSE_KEY: COPIES_KEY}, False, False),
        ({SSE: "aws:kms:dsse", SSE_KEY: COPIES_KEY}, False, False),
        ({CUSTOMER: "AES256"}, False, False),
        ({"aws:SecureTransport": "false"}, False, False),
    ],
)
def test_a_bucket_refuses_other_encryption_than_its_own(plan, headers, takes_plain, takes_kms):
    """Whatever a role allows."""
    anything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    taken = [
        allows([anything, *plan.statements(address)], "s3:PutObject", f"{BUCKET}/dev/sales/dags/a.py", INSIDE | headers)
        for address in ("module.plain.module.closed.aws_s3_bucket_policy.this", f"{closed(S3)}_policy.this")
    ]
    assert taken == [takes_plain, takes_kms]


@pytest.mark.parametrize(
    ("address", "key", "value"), [("module.plain.aws_s3_bucket", SSE, "AES256"), (S3, SSE_KEY, KEY)]
)
def test_the_bucket_policy_word_by_word(plan, address, key, value):
    deny = {"Effect": "Deny", "Principal": "*"}
    put = {"Action": "s3:PutObject", "Resource": f"{BUCKET}/*"}
    statements = plan.statements(f"{closed(address)}_policy.this")
    assert [s for s in statements if s["Sid"] != "RefuseOutsideOfEndpoints"] == [
        {
            "Sid": "RefuseWithoutTLS",
            "Action": "s3:*",
            "Resource": [f"{BUCKET}/*", BUCKET],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
        | deny,
        {
            "Sid": "RefuseWrongEncryption",
            "Condition": {"Null": {SSE: "false"}, "StringNotEquals": {key: value}},
        }
        | put
        | deny,
        {"Sid": "RefuseCustomerKeys", "Condition": {"Null": {CUSTOMER: "false"}}} | put | deny,
    ]


def test_the_page_on_stores_has_the_bucket_s_own_statement(plan):
    """For a bucket of one's own, whose policy demands a header that nobody sends."""
    page = (ROOT / "docs/reference/stores.md").read_text()
    [shown] = re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    own = plan.statements("module.plain.module.closed.aws_s3_bucket_policy.this")
    refused = [s for s in own if s["Sid"] == "RefuseWrongEncryption"]
    assert [json.loads(shown.replace("arn:PARTITION:s3:::BUCKET", BUCKET))] == refused


ENDPOINT, TERRAFORM_ROLE = "vpce-0a", f"arn:aws:iam::{ACCOUNT}:role/ops/terraform"


@pytest.mark.parametrize(
    ("seen", "reached"),
    [
        ({"aws:SourceVpce": ENDPOINT}, True),
        ({"aws:SourceVpce": "vpce-0b"}, True),
        ({"aws:SourceVpce": "vpce-0c"}, False),
        ({}, False),  # from the internet
        ({"aws:PrincipalArn": TERRAFORM_ROLE}, True),
        ({"aws:PrincipalArn": TERRAFORM_ROLE, "aws:SourceVpce": "vpce-0c"}, True),
        ({"aws:PrincipalArn": f"{TERRAFORM_ROLE}2"}, False),
        ({"aws:PrincipalArn": CI, "aws:SourceVpce": ENDPOINT}, True),
    ],
)
def test_with_endpoints_the_bucket_is_reached_through_them_or_by_the_exempted(plan, seen, reached):
    """Its policy and its objects alike, else the exempted could not take the rule away."""
    anything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    policy = [anything, *plan.statements("module.by_endpoint.module.closed.aws_s3_bucket_policy.this")]
    for action, resource in (("s3:PutBucketPolicy", BUCKET), ("s3:GetObject", f"{BUCKET}/dev/sales/dags/a.py")):
        assert allows(policy, action, resource, TLS | seen) is reached


def test_s3_replicates_from_behind_the_endpoints(plan):
    """As a role of ours, through none of them."""
    [refusal] = [s for s in plan.statements(f"{closed(S3)}_policy.this") if s["Sid"] == "RefuseOutsideOfEndpoints"]
    role = plan["module.dag_bucket.module.dag_bucket.aws_iam_role.replication[0]"]["name"]
    assert sorted(refusal["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]) == [
        f"arn:aws:iam::{ACCOUNT}:role/{role}",
        f"arn:aws:iam::{ACCOUNT}:role/terraform",
    ]


# --- state-backend --------------------------------------------------------------------------------------------


def test_states_are_kept_with_their_versions(plan):
    address = "module.state_backend.module.state_backend.aws_s3_bucket"
    assert plan[f"{closed(address)}_versioning.this"]["versioning_configuration"][0]["status"] == "Enabled"
    [rule] = plan[f"{address}_lifecycle_configuration.this"]["rule"]
    expires = [{"noncurrent_days": 365, "newer_noncurrent_versions": 50}]
    assert rule["noncurrent_version_expiration"] == expires
    assert rule["expiration"] == [], "a state never expires"
    assert sids(plan.statements(f"{closed(address)}_policy.this")) == ["RefuseWithoutTLS"]
    access = plan[f"{closed(address)}_public_access_block.this"]
    assert [v for k, v in access.items() if k.startswith(("block_", "ignore_", "restrict_"))] == [True] * 4


def test_no_plan_deletes_the_states(modules):
    name = "airflow-terraform-state-of-test-modules"
    root = modules.root("states", module={"states": {"source": "../modules/state-backend", "name": name}})
    root.apply(targets=["module.states.aws_s3_bucket.this"])
    with pytest.raises(tftest.TerraformTestError, match="prevent_destroy"):
        root.execute_command("plan", "-destroy", "-input=false", "-no-color")


# --- ecr-repository -------------------------------------------------------------------------------------------


def test_a_tag_of_an_image_is_for_ever(plan):
    repository = plan["module.repository.aws_ecr_repository.this"]
    assert repository["name"] == "airflow/sales"
    assert repository["image_tag_mutability"] == "IMMUTABLE"
    assert repository["image_scanning_configuration"] == [{"scan_on_push": True}]
    assert not repository["force_delete"]


def test_images_that_may_be_deployed_are_counted_before_any_other_rule_sees_them(plan):
    rules = json.loads(plan["module.repository.aws_ecr_lifecycle_policy.this"]["policy"])["rules"]
    assert [(r["rulePriority"], r["selection"]["tagStatus"], r["selection"]["countNumber"]) for r in rules] == [
        (1, "tagged", 1000),
        (2, "untagged", 7),
        (3, "any", 14),
    ]
    assert rules[0]["selection"]["tagPatternList"] == ["main-*"]
    assert [rule["selection"]["countType"] for rule in rules] == ["imageCountMoreThan"] + ["sinceImagePushed"] * 2


def test_only_with_pullers_a_repository_has_a_policy(plan):
    [statement] = plan.statements("module.ecr_repository.module.ecr_repository.aws_ecr_repository_policy.this[0]")
    assert statement["Principal"] == {"AWS": "arn:aws:iam::210987654321:root"}
    assert sorted(statement["Action"]) == [
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetDownloadUrlForLayer",
    ]
    assert below(plan, "module.repository.") == {"aws_ecr_lifecycle_policy.this", "aws_ecr_repository.this"}


# --- observability, oidc-provider ------------------------------------------------------------------------------


def test_log_groups_are_kept_so_long(plan):
    groups = [values for address, values in plan.resources.items() if "log_group" in address]
    assert {group["name"] for group in groups} == {
        "/airflow/dev/dag-sync",
        "/airflow/dev/jobs/finance",
        "/airflow/dev/jobs/sales",
        "/airflow/dev/scheduler",
    }
    assert {group["retention_in_days"] for group in groups} == {90}


def test_an_issuer_s_tokens_are_for_aws(plan):
    provider = plan["module.oidc_provider.module.github.aws_iam_openid_connect_provider.this"]
    assert provider["url"] == "https://token.actions.githubusercontent.com"
    assert provider["client_id_list"] == ["sts.amazonaws.com"]


# --- who takes a role -----------------------------------------------------------------------------------------


def by_token(sid, provider, subject):
    """A statement that takes the tokens of one subject. Nothing else is compared in it, and nothing by pattern."""
    host = provider.partition("oidc-provider/")[2]
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": provider},
        "Condition": {"StringEquals": {f"{host}:sub": subject, f"{host}:aud": "sts.amazonaws.com"}},
    }


def by_name(sid):
    return {"Sid": sid, "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": CI}}


EKS = f"arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE"


def by_pod_identity(namespace, name):
    tags = {
        "eks-cluster-arn": CLUSTER["arn"],
        "kubernetes-namespace": namespace,
        "kubernetes-service-account": name,
    }
    return {
        "Sid": "PodIdentity",
        "Effect": "Allow",
        "Action": ["sts:TagSession", "sts:AssumeRole"],
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Condition": {"StringEquals": {f"aws:RequestTag/{tag}": value for tag, value in tags.items()}},
    }


@pytest.mark.parametrize(
    ("role", "trust"),
    [
        (
            "module.package_role.module.package_role",
            [by_token("GitHubActions", GITHUB, "repo:acme/sales-dags:environment:production")],
        ),
        ("module.by_branch", [by_token("GitHubActions", GITHUB, "repo:acme/sales-dags:ref:refs/heads/release/1")]),
        ("module.by_gitlab", [by_token("GitLabCI", GITLAB, "project_path:acme/data/sales:ref_type:branch:ref:main")]),
        (
            "module.by_approved_gitlab",
            [by_token("GitLabCI", GITLAB, "project_path:acme/data/sales:ref_type:branch:ref:production")],
        ),
        ("module.by_name", [by_name("NamedPublishers")]),
        (
            "module.by_all",
            [
                by_token("GitHubActions", GITHUB, "repo:a/b:ref:refs/heads/main"),
                by_token("GitLabCI", GITLAB, "project_path:c/d:ref_type:branch:ref:main"),
                by_name("NamedPublishers"),
            ],
        ),
        (
            "module.service_account_role.module.role",
            [by_token("ServiceAccount", EKS, "system:serviceaccount:airflow:airflow-dag-processor")],
        ),
        ("module.with_pod_identity", [by_pod_identity("airflow", "airflow-worker")]),
        ("module.of_nobody_s_pods", [by_name("NamedPrincipals")]),
        # A service account's name takes no underscore.
        ("module.job_role.module.role.module.role", [by_pod_identity("etl-jobs", "risk-reports")]),
        ("module.operator_with_key", [by_name("NamedPeople")]),
    ],
)
def test_who_takes_a_role(plan, role, trust):
    assert plan.statements(f"{role}.aws_iam_role.this", "assume_role_policy") == trust


@pytest.mark.parametrize(
    ("module", "account"),
    [
        ("module.with_pod_identity", ("airflow", "airflow-worker")),
        ("module.job_role.module.role.module.role", ("etl-jobs", "risk-reports")),
    ],
)
def test_pod_identity_is_an_association(plan, module, account):
    association = plan[f'{module}.aws_eks_pod_identity_association.this["{account[1]}"]']
    assert association["cluster_name"] == "main"
    assert (association["namespace"], association["service_account"]) == account


# --- what a role may do ---------------------------------------------------------------------------------------


def test_a_publisher_pushes_only_where_it_is_told_to(plan):
    pull, push = "ecr:BatchGetImage", "ecr:PutImage"
    publish = "aws_iam_role_policy.this"
    others = REPOSITORY.replace("sales", "finance")
    for module, pushes in (("by_branch", False), ("by_all", True)):
        policy = plan.statements(f"module.{module}.{publish}")
        assert allows(policy, pull, REPOSITORY)
        assert not allows(policy, pull, others)
        assert allows(policy, push, REPOSITORY) is pushes
        assert not allows(policy, push, others)


def test_a_job_reads_its_own_secrets(plan):
    job = "module.job_role.module.role.module.role"
    policy = plan.statements(f'{job}.aws_iam_role_policy.this["secrets"]')
    readable = ("airflow/dev/jobs/risk_reports/db-AbCdEf", "airflow/dev/jobs/risk_reports/a/b-AbCdEf")
    others = (
        "airflow/dev/jobs/risk/db-AbCdEf",
        "airflow/dev/jobs/risk_reports_eu/db-AbCdEf",
        "airflow/prod/jobs/risk_reports/db-AbCdEf",
        "airflow/dev/connections/x-A",
    )
    assert [allows(policy, "secretsmanager:GetSecretValue", f"{SECRETS}:{name}") for name in readable] == [True] * 2
    assert [allows(policy, "secretsmanager:GetSecretValue", f"{SECRETS}:{name}") for name in others] == [False] * 4
    assert plan[f'{job}.aws_iam_role_policy_attachment.this["lake"]']["policy_arn"].endswith(":policy/lake-read")
    assert plan[f"{job}.aws_iam_role.this"]["name"] == "airflow-dev-job-risk_reports"


BOTH = ["kms:GenerateDataKey", "kms:Decrypt"]


@pytest.mark.parametrize(
    ("policy", "actions"),
    [
        ("dag_read_with_key", "kms:Decrypt"),
        ("dag_adopt_with_key", "kms:GenerateDataKey"),
        ("logs_with_key", BOTH),
        ("read_logs_with_key", "kms:Decrypt"),
        ("secrets_with_key", "kms:Decrypt"),
        ("module.operator_with_key.aws_iam_role_policy.this", BOTH),
        ("module.by_all.aws_iam_role_policy.this", BOTH),
    ],
)
def test_a_key_may_be_used_when_there_is_one(plan, policy, actions):
    found = statements(plan.outputs[policy]) if policy in DOCUMENTS else plan.statements(policy)
    assert [(s["Action"], s["Resource"]) for s in found if "kms:" in str(s["Action"])] == [(actions, KEY)]


def test_without_a_key_no_policy_names_one(plan):
    policies = [plan.outputs[name] for name in DOCUMENTS if not name.endswith("_with_key")]
    roles = [f"module.{name}.aws_iam_role_policy.this" for name in ("by_branch", "operator_role.module.operator_role")]
    assert not [text for text in [*policies, *(plan[role]["policy"] for role in roles)] if "kms:" in text]
