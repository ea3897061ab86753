"""What Terraform would build for the environments that are shipped, with a few packages and a cluster."""

import itertools
import json

import pytest

from scripts.local.manage_sh import Manage
from tests.helpers.needs import needs_terraform
from tests.terraform.conftest import ADMIN
from tests.terraform.policy import allows, as_list

pytestmark = needs_terraform

ENVIRONMENTS = ("dev", "staging", "prod")
ACCOUNT = "123456789012"
IAM = f"arn:aws:iam::{ACCOUNT}"
ISSUER = "oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE"
HUMAN = f"{IAM}:role/data-platform"
LAKE = f"{IAM}:policy/lake-read"
COMPONENTS = {
    "scheduler": {"dag-read", "logs", "secrets"},
    "dag_processor": {"dag-read"},
    "triggerer": {"logs", "secrets"},
    "worker": {"dag-read", "logs", "secrets"},
    "api_server": {"logs", "secrets"},
    "dag_adopter": {"dag-read", "dag-adopt"},
}
"""The policies of each component's role."""
LOGGERS = {"scheduler": True, "triggerer": True, "worker": True, "api_server": False}  # whether they write
PACKAGES = {
    "sales": {"github": {"repository": "acme/sales-dags"}, "job_policies": {"lake": LAKE}},
    "finance": {"gitlab": {"project": "acme/data/finance", "branch": "trunk"}, "environments": ["dev", "prod"]},
    "risk_reports": {"publishers": {e: [f"{IAM}:role/risk-ci-{e}"] for e in ENVIRONMENTS}},
}


@pytest.fixture(scope="module")
def plans(manage):
    """One plan of each environment, of all that it can have."""
    return {
        environment: manage.plan(
            environment,
            packages=PACKAGES,
            cluster={"name": "main", "issuer": f"https://{ISSUER}"},
            operators=[HUMAN],
            secrets={"backend": True},
        )
        for environment in ENVIRONMENTS
    }


@pytest.fixture(params=ENVIRONMENTS)
def environment(request):
    return request.param


@pytest.fixture
def plan(plans, environment):
    return plans[environment]


@pytest.fixture
def bucket(environment):
    return f"arn:aws:s3:::airflow-dags-{environment}-{ACCOUNT}"


@pytest.fixture
def packages(environment):
    """The packages that are in the environment."""
    return [name for name, of in PACKAGES.items() if environment in of.get("environments", ENVIRONMENTS)]


def test_the_set_of_resources(plan, packages):
    roles = {f'module.component_role["{component}"]': policies for component, policies in COMPONENTS.items()}
    roles |= {f'module.job_role["{package}"].module.role': {"secrets"} for package in packages}
    assert set(plan.resources) == {
        *(f"{role}.aws_iam_role.this" for role in roles),
        *(f'{role}.aws_iam_role_policy.this["{policy}"]' for role, policies in roles.items() for policy in policies),
        'module.job_role["sales"].module.role.aws_iam_role_policy_attachment.this["lake"]',
        *(f'module.package_role["{package}"].aws_iam_role.this' for package in packages),
        *(f'module.package_role["{package}"].aws_iam_role_policy.this' for package in packages),
        "module.operator_role[0].aws_iam_role.this",
        "module.operator_role[0].aws_iam_role_policy.this",
        *(f'module.observability.aws_cloudwatch_log_group.this["jobs/{package}"]' for package in packages),
        'module.observability.aws_cloudwatch_log_group.this["dag-sync"]',
        'module.observability.aws_cloudwatch_log_group.this["scheduler"]',
        "module.dag_bucket.aws_s3_bucket.this",
        "module.dag_bucket.aws_s3_bucket_lifecycle_configuration.this[0]",
        "module.dag_bucket.module.closed.aws_s3_bucket_ownership_controls.this",
        "module.dag_bucket.module.closed.aws_s3_bucket_policy.this",
        "module.dag_bucket.module.closed.aws_s3_bucket_public_access_block.this",
        "module.dag_bucket.module.closed.aws_s3_bucket_server_side_encryption_configuration.this",
        "module.dag_bucket.module.closed.aws_s3_bucket_versioning.this",
        "module.dag_bucket.aws_s3_object.environment_marker",
    }


NAMED = ("aws_s3_bucket", "aws_iam_role", "aws_cloudwatch_log_group")


def names(plan):
    """What may exist once in an account, or in the world."""
    resources = [values for address, values in plan.resources.items() if f".{address}".split(".")[-2] in NAMED]
    return {values.get("bucket") or values["name"] for values in resources}


def test_names_carry_the_environment(plan, environment, packages):
    assert names(plan) == {
        f"airflow-dags-{environment}-{ACCOUNT}",
        *(f"airflow-{environment}-{component.replace('_', '-')}" for component in COMPONENTS),
        f"airflow-{environment}-operator",
        *(f"airflow-{environment}-publish-{package}" for package in packages),
        *(f"airflow-{environment}-job-{package}" for package in packages),
        f"/airflow/{environment}/dag-sync",
        f"/airflow/{environment}/scheduler",
        *(f"/airflow/{environment}/jobs/{package}" for package in packages),
    }


def test_two_environments_share_no_name(plans):
    for one, other in itertools.combinations(plans.values(), 2):
        assert not names(one) & names(other)


def test_the_bucket_is_what_rollback_needs(plan, environment):
    """The details are in test_modules.py: here, that no environment's file turns them off."""
    module = "module.dag_bucket.aws_s3_bucket"
    assert (
        plan["module.dag_bucket.module.closed.aws_s3_bucket_versioning.this"]["versioning_configuration"][0]["status"]
        == "Enabled"
    )
    retention = plan[f"{module}_lifecycle_configuration.this[0]"]["rule"][0]
    expires = [{"noncurrent_days": 365, "newer_noncurrent_versions": 20}]
    assert (retention["status"], retention["noncurrent_version_expiration"]) == ("Enabled", expires)
    marker = plan["module.dag_bucket.aws_s3_object.environment_marker"]
    assert marker["key"] == f"pointers/{environment}/_environment.json"
    retention = {"days": 365, "versions": 20}
    assert json.loads(marker["content"]) == {"schema": 1, "environment": environment, "retention": retention}


# --- who takes a role -----------------------------------------------------------------------------------------


def by_token(provider, subject):
    """A statement, but for its sid, that takes the tokens of one subject: compared as a whole, with nothing beside."""
    return {
        "Effect": "Allow",
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Principal": {"Federated": f"{IAM}:oidc-provider/{provider}"},
        "Condition": {"StringEquals": {f"{provider}:sub": subject, f"{provider}:aud": "sts.amazonaws.com"}},
    }


def by_name(arn):
    return {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": arn}}


def trust(plan, role):
    """The one statement of who takes a role."""
    [statement] = plan.statements(f"{role}.aws_iam_role.this", "assume_role_policy")
    assert statement.pop("Sid")
    return statement


@pytest.mark.parametrize(
    ("environment", "sales", "finance"),
    [
        ("dev", "ref:refs/heads/main", "trunk"),
        ("staging", "ref:refs/heads/main", None),
        # Not from any branch: from an approved job, and from the branch that only approved merges reach.
        ("prod", "environment:production", "production"),
    ],
)
def test_who_publishes(plans, environment, sales, finance):
    plan = plans[environment]
    assert trust(plan, 'module.package_role["sales"]') == by_token(
        "token.actions.githubusercontent.com", f"repo:acme/sales-dags:{sales}"
    )
    if finance:
        assert trust(plan, 'module.package_role["finance"]') == by_token(
            "gitlab.com", f"project_path:acme/data/finance:ref_type:branch:ref:{finance}"
        )
    assert trust(plan, 'module.package_role["risk_reports"]') == by_name(f"{IAM}:role/risk-ci-{environment}")


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_component_s_role_is_its_service_account_s(plan, component):
    account = f"system:serviceaccount:airflow:airflow-{component.replace('_', '-')}"
    accounts = [account, f"{account}-kubernetes"] if component == "worker" else account  # the Kubernetes executor's
    assert trust(plan, f'module.component_role["{component}"]') == by_token(ISSUER, accounts)


def test_a_job_s_role_is_its_service_account_s(plan, packages):
    for package in packages:
        account = f"system:serviceaccount:etl-jobs:{package.replace('_', '-')}"
        assert trust(plan, f'module.job_role["{package}"].module.role') == by_token(ISSUER, account)


def test_operators_are_named(plan):
    assert trust(plan, "module.operator_role[0]") == by_name(HUMAN)


def test_as_shipped_the_account_decides_who_takes_the_roles(manage):
    """Without packages, cluster and operators: no role but the components', and IAM says who takes them."""
    plan = manage.plan("dev")
    roles = {address for address in plan.resources if "aws_iam_role." in address}
    assert roles == {f'module.component_role["{component}"].aws_iam_role.this' for component in COMPONENTS}
    for component in COMPONENTS:
        assert trust(plan, f'module.component_role["{component}"]') == by_name(f"{IAM}:root")


# --- what a role may do ---------------------------------------------------------------------------------------


def policies(plan):
    """Every policy document, by address and attribute."""
    return {
        (address, attribute): plan.statements(address, attribute)
        for address, values in plan.resources.items()
        for attribute in ("policy", "assume_role_policy")
        if attribute in values
    }


def test_every_statement_has_a_sid(plan, packages):
    found = policies(plan)
    roles = len(COMPONENTS) + 2 * len(packages) + 1
    # Each role's trust; of each component its policies, one of each other role; and the bucket's.
    assert len(found) == roles + sum(map(len, COMPONENTS.values())) + 2 * len(packages) + 1 + 1
    assert not [where for where, statements in found.items() if not all(s.get("Sid") for s in statements)]


def test_policies_name_every_action(plan):
    """A wildcard would grow with AWS; in a refusal that is as it should be."""
    allowed = [s for statements in policies(plan).values() for s in statements if s["Effect"] == "Allow"]
    assert not [action for s in allowed for action in as_list(s["Action"]) if "*" in action]


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
    ("s3:ListBucket", "{e}/sales/dags/", True),
    ("s3:ListBucketVersions", "manifests/{e}/sales/", True),
    ("s3:ListBucketVersions", "pointers/{e}/sales.json", True),
    ("s3:ListBucket", None, True),
    ("s3:PutObject", "pointers/{e}/sales.json", False),
    ("s3:DeleteObject", "{e}/sales/dags/a.py", False),
]

ADOPTER = [
    ("s3:PutObject", "manifests/{e}/sales/v.json", True),
    ("s3:PutObject", "pointers/{e}/sales.json", True),
    ("s3:PutObject", "pointers/{e}/_environment.json", False),
    ("s3:ListBucket", "{e}/", True),
    ("s3:ListBucket", "{e}/sales/dags/", True),
    ("s3:PutObject", "{e}/sales/dags/a.py", False),
    ("s3:PutObjectVersionTagging", "{e}/sales/dags/a.py", True),
    ("s3:GetObjectVersionTagging", "{e}/sales/dags/a.py", True),
    ("s3:PutObjectVersionTagging", "pointers/{e}/sales.json", False),
    ("s3:PutObjectVersionTagging", "other/sales/dags/a.py", False),
    ("s3:PutObjectTagging", "{e}/sales/dags/a.py", False),
    ("s3:PutObject", "manifests/other/sales/v.json", False),
    ("s3:DeleteObject", "pointers/{e}/sales.json", False),
]


JOB = [
    ("secretsmanager:GetSecretValue", "{secret}:airflow/{e}/jobs/risk_reports/warehouse-AbCdEf", True),
    ("secretsmanager:GetSecretValue", "{secret}:airflow/{e}/jobs/risk/warehouse-AbCdEf", False),
    ("secretsmanager:GetSecretValue", "{secret}:airflow/{e}/jobs/risk_reports_eu/warehouse-AbCdEf", False),
    ("secretsmanager:GetSecretValue", "{secret}:airflow/other/jobs/risk_reports/warehouse-AbCdEf", False),
    ("secretsmanager:GetSecretValue", "{secret}:airflow/{e}/connections/warehouse-AbCdEf", False),
    ("secretsmanager:PutSecretValue", "{secret}:airflow/{e}/jobs/risk_reports/warehouse-AbCdEf", False),
    ("s3:GetObject", "{e}/risk_reports/dags/a.py", False),
    ("s3:ListBucket", "pointers/{e}/", False),
]

OPERATOR = [
    ("s3:GetObject", "{e}/sales/dags/a.py", True),
    ("s3:GetObjectVersion", "manifests/{e}/sales/v.json", True),
    ("s3:GetObject", "logs/{e}/dag_id=x/a.log", True),
    ("s3:GetObject", "other/sales/dags/a.py", False),
    ("s3:PutObject", "{e}/sales/dags/a.py", True),
    ("s3:DeleteObject", "{e}/sales/dags/a.py", True),
    ("s3:DeleteObjectVersion", "{e}/sales/dags/a.py", True),
    ("s3:PutObject", "manifests/{e}/sales/v.json", True),
    ("s3:PutObject", "pointers/{e}/sales.json", True),
    ("s3:DeleteObject", "manifests/{e}/sales/v.json", False),
    ("s3:DeleteObject", "pointers/{e}/sales.json", False),
    ("s3:DeleteObjectVersion", "pointers/{e}/sales.json", False),
    ("s3:GetObject", "pointers/{e}/_environment.json", True),
    ("s3:PutObject", "pointers/{e}/_environment.json", False),
    ("s3:DeleteObject", "pointers/{e}/_environment.json", False),
    ("s3:PutObject", "logs/{e}/dag_id=x/a.log", False),
    ("s3:PutObject", "other/sales/dags/a.py", False),
    ("s3:DeleteObject", "other/sales/dags/a.py", False),
    ("s3:ListBucketVersions", "{e}/sales/dags/", True),
    ("s3:ListBucket", "logs/{e}/", True),
    ("s3:ListBucket", None, True),
    ("s3:GetBucketVersioning", None, True),
    ("s3:PutBucketVersioning", None, False),
    ("s3:DeleteBucket", None, False),
    ("ecr:DescribeImages", "{ecr}/airflow/sales", True),
    ("ecr:DescribeImages", "{ecr}/other/sales", False),
    ("ecr:BatchDeleteImage", "{ecr}/airflow/sales", False),
    ("logs:FilterLogEvents", "{logs}:/airflow/{e}/jobs/sales", True),
    ("logs:GetLogEvents", "{logs}:/airflow/{e}/scheduler:log-stream:x", True),
    ("logs:FilterLogEvents", "{logs}:/airflow/other/jobs/sales", False),
    ("logs:DeleteLogGroup", "{logs}:/airflow/{e}/jobs/sales", False),
    ("secretsmanager:GetSecretValue", "{secret}:airflow/{e}/connections/x-AbCdEf", False),
]

SECRETS = [
    ("secretsmanager:GetSecretValue", "{secret}:airflow/{e}/connections/warehouse-AbCdEf", True),
    ("secretsmanager:GetSecretValue", "{secret}:airflow/{e}/variables/x-AbCdEf", True),
    ("secretsmanager:GetSecretValue", "{secret}:airflow/{e}/jobs/sales/x-AbCdEf", False),
    ("secretsmanager:GetSecretValue", "{secret}:airflow/other/connections/warehouse-AbCdEf", False),
]

ARNS = {
    "ecr": f"arn:aws:ecr:eu-central-1:{ACCOUNT}:repository",
    "logs": f"arn:aws:logs:eu-central-1:{ACCOUNT}:log-group",
    "secret": f"arn:aws:secretsmanager:eu-central-1:{ACCOUNT}:secret",
}


def verdicts(statements, requests, bucket, environment):
    """The requests again, each with what the policies make of it."""
    for action, key, _ in requests:
        place = None if key is None else key.format(e=environment, **ARNS)
        on_s3 = bucket if "Bucket" in action else f"{bucket}/{place}"
        resource = on_s3 if action.startswith("s3:") else place
        seen = {"s3:prefix": place, "aws:ResourceAccount": ACCOUNT}
        yield action, key, allows(statements, action, resource, seen)


def of_component(plan, component, *names):
    role = f'module.component_role["{component}"]'
    return list(itertools.chain(*(plan.statements(f'{role}.aws_iam_role_policy.this["{name}"]') for name in names)))


def test_a_publisher_writes_its_own_places_only(plan, bucket, environment):
    statements = plan.statements('module.package_role["sales"].aws_iam_role_policy.this')
    assert list(verdicts(statements, PUBLISHER, bucket, environment)) == PUBLISHER


def test_one_environment_pushes_images(plan, environment, packages):
    """The others pull the same digest."""
    for package in packages:
        statements = plan.statements(f'module.package_role["{package}"].aws_iam_role_policy.this')
        repositories = [f"{ARNS['ecr']}/airflow/{name}" for name in PACKAGES]
        for action, may in (("ecr:BatchGetImage", True), ("ecr:PutImage", environment == "dev")):
            allowed = [repository for repository in repositories if allows(statements, action, repository)]
            assert allowed == ([f"{ARNS['ecr']}/airflow/{package}"] if may else [])
    addresses = {name: f"{ACCOUNT}.dkr.ecr.eu-central-1.amazonaws.com/airflow/{name}" for name in packages}
    assert plan.outputs["repositories"] == addresses


@pytest.mark.parametrize("component", [name for name, policies in COMPONENTS.items() if "dag-read" in policies])
def test_a_reader_reads_its_own_environment_only(plan, bucket, environment, component):
    statements = of_component(plan, component, "dag-read")
    assert list(verdicts(statements, READER, bucket, environment)) == READER


def test_the_adopter_adds_manifests_and_pointers_to_a_reader(plan, bucket, environment):
    statements = of_component(plan, "dag_adopter", "dag-read", "dag-adopt")
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
    statements = of_component(plan, component, "logs")
    assert list(verdicts(statements, requests, bucket, environment)) == requests


@pytest.mark.parametrize("component", [name for name, policies in COMPONENTS.items() if "secrets" in policies])
def test_a_component_reads_airflow_s_secrets_and_no_job_s(plan, bucket, environment, component):
    statements = of_component(plan, component, "secrets")
    assert list(verdicts(statements, SECRETS, bucket, environment)) == SECRETS


def test_a_job_reads_its_own_secrets_only(plan, bucket, environment):
    statements = plan.statements('module.job_role["risk_reports"].module.role.aws_iam_role_policy.this["secrets"]')
    assert list(verdicts(statements, JOB, bucket, environment)) == JOB


def test_a_job_has_the_policies_that_its_package_names(plan):
    attached = {a: v["policy_arn"] for a, v in plan.resources.items() if "attachment" in a}
    assert attached == {'module.job_role["sales"].module.role.aws_iam_role_policy_attachment.this["lake"]': LAKE}


def test_an_operator_mends_one_environment(plan, bucket, environment):
    statements = plan.statements("module.operator_role[0].aws_iam_role_policy.this")
    assert list(verdicts(statements, OPERATOR, bucket, environment)) == OPERATOR


ROLES_ON_THE_BUCKET = {
    **{f'module.component_role["{name}"]': policies - {"secrets"} for name, policies in COMPONENTS.items()},
    'module.package_role["sales"]': {None},
    "module.operator_role[0]": {None},
}


@pytest.mark.parametrize("role", ROLES_ON_THE_BUCKET)
def test_a_bucket_of_that_name_in_another_account_gets_nothing_of_a_role(plan, bucket, environment, role):
    """Each of its policies by itself: what one refuses must not depend on its neighbours."""
    for name in ROLES_ON_THE_BUCKET[role]:
        statements = plan.statements(f"{role}.aws_iam_role_policy.this" + (f'["{name}"]' if name else ""))
        allowed = [
            (action, bucket if resource == bucket else resource.replace("*", "a/b/dags/c.json"))
            for s in statements
            if s["Effect"] == "Allow"
            for action in as_list(s["Action"])
            if action.startswith("s3:")
            for resource in as_list(s["Resource"])
        ]
        assert allowed
        for account in ("210987654321", None):
            seen = {"s3:prefix": f"{environment}/sales/dags/", "aws:ResourceAccount": account}
            assert not [where for where in allowed if allows(statements, *where, seen)]
        assert [where for where in allowed if allows(statements, *where, seen | {"aws:ResourceAccount": ACCOUNT})]


ENDPOINTS = ["vpce-0123456789abcdef0"]


@pytest.mark.parametrize("path", ["/", "/ops/eu/"])
def test_the_role_that_terraform_runs_as_is_told_from_others_of_its_name(aws, tmp_path, path):
    """Its session's ARN has no path, and a session of `terraform2` begins like one of `terraform`."""
    iam = aws.client("iam", aws.admin)
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": ADMIN}}
    anything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    name = f"terraform{len(path)}"
    as_text = [json.dumps({"Version": "2012-10-17", "Statement": [s]}) for s in (trust, anything)]
    role = iam.create_role(RoleName=name, Path=path, AssumeRolePolicyDocument=as_text[0])["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="anything", PolicyDocument=as_text[1])
    manage = Manage({**aws.assume(role), "AIRFLOW_PLATFORM_STATE_DIR": str(tmp_path)})

    def bucket(exempted):
        return {"vpc_endpoint_ids": ENDPOINTS, "exempt_from_vpc_endpoints": [exempted]}

    plan = manage.plan("dev", bucket=bucket(role))
    [refusal] = [
        s
        for s in plan.statements("module.dag_bucket.module.closed.aws_s3_bucket_policy.this")
        if s["Sid"] == "RefuseOutsideOfEndpoints"
    ]
    assert refusal["Condition"] == {
        "StringNotEquals": {"aws:SourceVpce": ENDPOINTS[0]},
        "ArnNotEquals": {"aws:PrincipalArn": role},
    }
    for other in (role[:-1], role.replace(ACCOUNT, "210987654321"), role.replace(":role", ":user")):
        [said] = manage.refusals("dev", bucket=bucket(other))
        assert f"assumed-role/{name}/" in said.sentence and "lock itself out" in said.sentence


# --- the account ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def account(manage):
    manage.ok("init", "account")  # the plan takes the bucket of states over
    packages = PACKAGES | {"finance": PACKAGES["finance"] | {"image_repository": "airflow/money"}}
    return manage.plan("account", packages=packages, images={"pullers": [HUMAN]})


def test_the_account_has_what_is_there_once(account):
    state = {address for address in account.resources if address.startswith("module.state_backend.")}
    assert "module.state_backend.aws_s3_bucket.this" in state
    assert set(account.resources) - state == {
        'module.oidc_provider["github"].aws_iam_openid_connect_provider.this',
        'module.oidc_provider["gitlab"].aws_iam_openid_connect_provider.this',
        *(
            f'module.ecr_repository["{package}"].aws_ecr_{kind}.this{index}'
            for package in PACKAGES
            for kind, index in (("repository", ""), ("lifecycle_policy", ""), ("repository_policy", "[0]"))
        ),
    }
    assert account["module.state_backend.aws_s3_bucket.this"]["bucket"] == f"airflow-terraform-state-{ACCOUNT}"


def test_a_renamed_package_keeps_its_image_repository(account):
    repositories = {p: account[f'module.ecr_repository["{p}"].aws_ecr_repository.this']["name"] for p in PACKAGES}
    expected = {"sales": "airflow/sales", "finance": "airflow/money", "risk_reports": "airflow/risk_reports"}
    assert repositories == expected
