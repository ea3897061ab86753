"""The roles trust the service accounts that the charts make, and the charts name the roles that Terraform makes."""

import pytest

from tests.helpers import inventory
from tests.helpers.charts import COMBINATIONS, ours
from tests.helpers.needs import needs_terraform
from tests.terraform.conftest import ISSUER
from tests.terraform.policy import as_list

pytestmark = needs_terraform

ROLE = "eks.amazonaws.com/role-arn"
PACKAGES = (
    "finance",
    "sales",
    "risk_reports",
)  # those of scripts/local/outputs.json, which the charts are rendered with
CASES = [case for case in COMBINATIONS if case.name in ("s3-sync-local", "s3-sync-celery", "s3-sync-kubernetes")]


@pytest.fixture(scope="module")
def trusted(manage):
    """Pairs of a role's name and a service account that it trusts."""
    plan = manage.plan(
        "dev",
        cluster={"name": "main", "issuer": ISSUER},
        packages={package: {"github": {"repository": "acme/dags"}} for package in PACKAGES},
    )
    key = f"{ISSUER.removeprefix('https://')}:sub"
    return {
        (role["name"], account)
        for address, role in plan.resources.items()
        if address.endswith(".aws_iam_role.this")
        for statement in plan.statements(address, "assume_role_policy")
        if statement["Sid"] == "ServiceAccount"
        for account in as_list(statement["Condition"]["StringEquals"][key])
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_annotated_service_account_is_the_one_its_role_trusts(case, trusted):
    accounts = inventory.read(case)["serviceAccounts"]
    annotated = {("airflow", name): account.get(ROLE) for name, account in accounts.items()}
    for object_ in ours(case):
        if object_["kind"] == "ServiceAccount":
            metadata = object_["metadata"]
            account = metadata.get("namespace", "airflow"), metadata["name"]
            annotated[account] = metadata.get("annotations", {}).get(ROLE)
    seen = {(arn.rpartition("/")[2], f"system:serviceaccount:{':'.join(a)}") for a, arn in annotated.items() if arn}
    assert {"airflow-dev-scheduler", "airflow-dev-dag-adopter", "airflow-dev-job-risk_reports"} <= {r for r, _ in seen}
    assert seen <= trusted
