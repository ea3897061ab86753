"""In China and in GovCloud everything that Terraform would build is of that partition: policies, trust and outputs."""

import json
import re
import shutil

import pytest

from scripts.local.fake_aws import FakeAWS
from scripts.local.manage_sh import Manage
from scripts.pinned import ROOT
from tests.helpers.needs import needs_terraform

pytestmark = needs_terraform

ACCOUNT = "123456789012"
PARTITIONS = {
    # region: partition, its DNS suffix
    "cn-north-1": ("aws-cn", "amazonaws.com.cn"),
    "us-gov-west-1": ("aws-us-gov", "amazonaws.com"),
}
SERVICES = {"s3.amazonaws.com"}  # principals, of the same name everywhere


IN_FULL = pytest.mark.exhaustive("terraform")


@pytest.fixture(scope="module", params=["cn-north-1", pytest.param("us-gov-west-1", marks=IN_FULL)])
def region(request):
    return request.param


@pytest.fixture(scope="module")
def plans(region, tmp_path_factory):
    """The account and an environment with all that it can have, in a checkout whose region was filled in."""
    partition, suffix = PARTITIONS[region]
    folder = tmp_path_factory.mktemp(region)
    packages = {"sales": {"github": {"repository": "acme/sales"}, "gitlab": {"project": "acme/sales"}}}
    key = f"arn:{partition}:kms:{region}:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
    for part in ("scripts", "terraform", "values"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", ".terraform"))
    for file in (folder / "terraform/account/terraform.tfvars", folder / "terraform/environments/dev.tfvars"):
        file.write_text(file.read_text().replace('region = "eu-central-1"', f'region = "{region}"'))
    with FakeAWS(folder / "aws.log", region) as aws:
        states = {"AIRFLOW_PLATFORM_STATE_DIR": str(folder / "state")}
        manage = Manage({**aws.admin, **states}, script=folder / "scripts/manage.sh")
        manage.ok("init", "account")
        yield {
            "account": manage.plan("account", packages=packages),
            "dev": manage.plan(
                "dev",
                packages=packages,
                cluster={"name": "main", "issuer": f"https://oidc.eks.{region}.{suffix}/id/EXAMPLE"},
                operators=[f"arn:{partition}:iam::{ACCOUNT}:role/people"],
                secrets={"backend": True, "kms_key_arn": key},
                bucket={
                    "kms_key_arn": key,
                    "replication": {"bucket_arn": f"arn:{partition}:s3:::copy", "kms_key_arn": key},
                    "vpc_endpoint_ids": ["vpce-0123456789abcdef0"],
                    "exempt_from_vpc_endpoints": [f"arn:{partition}:iam::{ACCOUNT}:user/administrator"],
                },
            ),
        }


@pytest.fixture(params=["account", "dev"])
def plan(request, plans):
    return plans[request.param]


def test_every_arn_is_of_the_partition(plan, region):
    text = json.dumps([plan.resources, plan.outputs])
    assert set(re.findall(r"\barn:([^:]*):", text)) <= {PARTITIONS[region][0]}
    assert plan.outputs or "aws_iam_openid_connect_provider" in text


def test_every_host_of_aws_is_of_the_partition(plan, region):
    hosts = set(re.findall(r"[\w.-]*amazonaws\.[\w.]*\w", json.dumps([plan.resources, plan.outputs]))) - SERVICES
    assert hosts
    assert not [h for h in hosts - {"sts.amazonaws.com"} if not h.endswith(f".{PARTITIONS[region][1]}")]


def test_the_registry_is_of_the_partition(plans, region):
    address = f"{ACCOUNT}.dkr.ecr.{region}.{PARTITIONS[region][1]}/airflow/sales"
    assert plans["dev"].outputs["repositories"] == {"sales": address}


def test_a_token_s_audience_is_ci_s_or_the_pods(plans, region):
    """EKS says `sts.amazonaws.com` everywhere, AWS's own action for GitHub in China `sts.amazonaws.com.cn`."""
    audiences = sorted({"sts.amazonaws.com", f"sts.{PARTITIONS[region][1]}"})
    account, dev = plans["account"].resources, plans["dev"]
    providers = [r for a, r in account.items() if "aws_iam_openid_connect_provider" in a]
    assert providers and all(sorted(p["client_id_list"]) == audiences for p in providers)
    taken = [
        value
        for address in dev.resources
        if address.endswith(".aws_iam_role.this")
        for statement in dev.statements(address, "assume_role_policy")
        for key, value in statement.get("Condition", {}).get("StringEquals", {}).items()
        if key.endswith(":aud")
    ]
    assert len(taken) > 8
    assert all(sorted([value] if isinstance(value, str) else value) == audiences for value in taken)
