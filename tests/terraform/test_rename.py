"""A renamed package keeps its images: Terraform renames in its state, as terraform/README.md says."""

import json
import re
import shutil

import pytest

from scripts.local.manage_sh import Manage, var_arguments
from scripts.pinned import ROOT
from tests.helpers.needs import needs_terraform

pytestmark = needs_terraform

MANIFEST = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json"}
IMAGE = {"repositoryName": "airflow/ledger", "imageManifest": json.dumps(MANIFEST), "imageTag": "main-1"}
OLD = {"ledger": {}}
NEW = {"accounts": {"image_repository": "airflow/ledger"}}


@pytest.fixture
def checkout(aws, tmp_path):
    """A checkout that may be edited, its states in a folder."""
    for part in ("scripts", "terraform", "values"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", ".terraform"))
    manage = Manage(
        {**aws.admin, "AIRFLOW_PLATFORM_STATE_DIR": str(tmp_path / "state")}, script=tmp_path / "scripts/manage.sh"
    )
    manage.ok("init", "account")
    return tmp_path, manage


def of(packages):
    return ("--", "-target=module.ecr_repository", *var_arguments({"packages": packages}))


def moved():
    """The block of the README, for this package."""
    [block] = re.findall(r"^ +moved \{.*?^ +\}", (ROOT / "terraform/README.md").read_text(), re.MULTILINE | re.DOTALL)
    return block.replace("<old>", "ledger").replace("<new>", "accounts")


@pytest.mark.exhaustive("terraform")
def test_the_repository_of_a_renamed_package_stays(aws, checkout):
    folder, manage = checkout
    ecr = aws.client("ecr", aws.admin)
    manage.ok("apply", "account", "--yes", *of(OLD))
    ecr.put_image(**IMAGE)

    assert "2 to destroy" in manage.ok("plan", "account", *of(NEW)), "without the block the images would go"
    (folder / "terraform/account/moved.tf").write_text(moved())
    assert "0 to destroy" in manage.ok("plan", "account", *of(NEW)).replace("No changes", "0 to destroy")
    manage.ok("apply", "account", "--yes", *of(NEW))

    assert json.loads(manage.ok("output", "account"))["repositories"] == {
        "accounts": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/airflow/ledger"
    }
    assert [i["imageTag"] for i in ecr.list_images(repositoryName="airflow/ledger")["imageIds"]] == ["main-1"]
    assert "No changes" in manage.ok("plan", "account", *of(NEW))
