"""What Terraform applied to the fake AWS, again on the server that evaluates tokens and conditions."""

import json
from contextlib import contextmanager

from scripts.local.web_identity import WebIdentity
from tests.terraform.conftest import ISSUER

DEV, PROD = "airflow-dags-dev-123456789012", "airflow-dags-prod-123456789012"
GITHUB, GITLAB = "https://token.actions.githubusercontent.com", "https://gitlab.com"
PEOPLE = (
    "https://people.example.org"  # stands for the named principals of the operator's role: there is no AssumeRole here
)
MAIN = {"sub": "repo:acme/team-a:ref:refs/heads/main"}
APPROVED = {"sub": "repo:acme/team-a:environment:production"}


def pod(name, namespace="airflow"):
    return {"sub": f"system:serviceaccount:{namespace}:{name}"}


WHO = {
    "publisher": ("airflow-dev-publish-team_a", GITHUB, MAIN),
    "publisher in prod": ("airflow-prod-publish-team_a", GITHUB, APPROVED),
    "scheduler": ("airflow-dev-scheduler", ISSUER, pod("airflow-scheduler")),
    "worker": ("airflow-dev-worker", ISSUER, pod("airflow-worker")),
    "dag_processor": ("airflow-dev-dag-processor", ISSUER, pod("airflow-dag-processor")),
    "triggerer": ("airflow-dev-triggerer", ISSUER, pod("airflow-triggerer")),
    "api_server": ("airflow-dev-api-server", ISSUER, pod("airflow-api-server")),
    "dag_adopter": ("airflow-dev-dag-adopter", ISSUER, pod("airflow-dag-adopter")),
    "operator": ("airflow-dev-operator", PEOPLE, {"sub": "somebody"}),
    "job": ("airflow-dev-job-team_a", ISSUER, pod("team-a", "etl-jobs")),
}


def applied(iam, role):
    """Trust and policies of a role, as they are on the AWS that Terraform applied to."""
    trust = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    return trust, {n: iam.get_role_policy(RoleName=role, PolicyName=n)["PolicyDocument"] for n in names}


def for_people(trust):
    """The same trust in an issuer of ours instead of principals."""
    [statement] = trust["Statement"]
    assert list(statement["Principal"]) == ["AWS"]
    provider = f"arn:aws:iam::123456789012:oidc-provider/{PEOPLE.removeprefix('https://')}"
    condition = {"StringEquals": {f"{PEOPLE.removeprefix('https://')}:sub": "somebody"}}
    own = {"Principal": {"Federated": provider}, "Action": "sts:AssumeRoleWithWebIdentity", "Condition": condition}
    return {**trust, "Statement": [statement | own]}


def known_conditions(policy):
    """The statements of a bucket's policy whose conditions the server knows: not those about encryption."""
    statements = [s for s in policy["Statement"] if "server-side-encryption" not in json.dumps(s)]
    assert [s["Sid"] for s in statements] == ["RefuseWithoutTLS"]
    return {**policy, "Statement": statements}


@contextmanager
def rig_of(aws, built, folder):
    """The buckets and roles of dev and prod."""
    iam, s3 = aws.client("iam", aws.admin), aws.client("s3", aws.admin)
    with WebIdentity(folder, issuers=[GITHUB, GITLAB, ISSUER, PEOPLE]) as rig:
        for environment, bucket in {"dev": DEV, "prod": PROD}.items():
            rig.bucket(bucket, known_conditions(json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])))
            marker = f"pointers/{environment}/_environment.json"
            rig.put(bucket, marker, s3.get_object(Bucket=bucket, Key=marker)["Body"].read())
            for role in (arn.rpartition("/")[2] for arn in all_roles(built[environment]["roles"])):
                trust, policies = applied(iam, role)
                rig.role(role, trust=for_people(trust) if role.endswith("operator") else trust, policies=policies)
        yield rig


def assume(rig, who):
    """A session of one of WHO."""
    role, issuer, claims = WHO[who]
    return rig.assume(role, issuer=issuer, claims=claims)


def all_roles(roles):
    for role in roles.values():
        yield from all_roles(role) if isinstance(role, dict) else [role]
