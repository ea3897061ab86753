"""A misspelt setting is named: Terraform itself drops it in silence, or only warns."""

import re
import shutil
from pathlib import Path

import pytest

from scripts.local.manage_sh import Manage
from scripts.manage.terraform_files import input_paths
from scripts.manage.tfvars import main, wrong_keys
from scripts.pinned import ROOT
from tests.helpers.needs import needs_terraform

ENVIRONMENT, ACCOUNT = ROOT / "terraform/environment", ROOT / "terraform/account"
SHIPPED = [
    (ENVIRONMENT, ROOT / "terraform/packages.tfvars"),
    (ACCOUNT, ACCOUNT / "terraform.tfvars"),
    *((ENVIRONMENT, file) for file in sorted((ROOT / "terraform/environments").glob("*.tfvars"))),
]
BAD = """region = "eu-central-1"
aproval_environment = "production"
packages = {
  sales = { githup = { repository = "a/b" }, publishers = { anywhere = [] } }
  risk  = {
    github       = { brnch = "release", repository = "a/b" }
    enviroments  = ["dev"]
    job_policies = { anything = "arn" }
  }
}
bucket = { log_day = 3 }
"""


@pytest.mark.parametrize(("root", "file"), SHIPPED, ids=lambda path: path.stem)
def test_what_is_shipped_is_right(root: Path, file: Path) -> None:
    assert wrong_keys(root, file) == []


def test_each_wrong_key_is_named_with_its_line_and_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "x.tfvars").write_text(BAD)
    assert wrong_keys(ENVIRONMENT, tmp_path / "x.tfvars") == [
        f"{tmp_path}/x.tfvars:2: `aproval_environment` is no setting; the nearest is `approval_environment`",
        f"{tmp_path}/x.tfvars:4: `githup` is no setting of packages.*; the nearest is `github`",
        f"{tmp_path}/x.tfvars:6: `brnch` is no setting of packages.*.github; the nearest is `branch`",
        f"{tmp_path}/x.tfvars:7: `enviroments` is no setting of packages.*; the nearest is `environments`",
        f"{tmp_path}/x.tfvars:11: `log_day` is no setting of bucket; the nearest is `log_days`",
    ]


def test_any_variable_misspelt_is_named(tmp_path: Path) -> None:
    for name in sorted(path for path in input_paths(ENVIRONMENT) if "." not in path):
        (tmp_path / "x.tfvars").write_text(f"{name}s = null\n")
        assert len(wrong_keys(ENVIRONMENT, tmp_path / "x.tfvars")) == 1, name


def test_what_is_no_hcl_is_left_to_terraform(tmp_path: Path) -> None:
    (tmp_path / "x.tfvars").write_text("region = {")
    assert wrong_keys(ENVIRONMENT, tmp_path / "x.tfvars") == []


def test_the_command_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.tfvars").write_text("regio = 1\n")
    assert main(f"{ENVIRONMENT}={tmp_path}/x.tfvars") == 1
    assert re.fullmatch(r".*x.tfvars:1: `regio` is no setting; the nearest is `region`\n", capsys.readouterr().err)


@needs_terraform[0]
@needs_terraform[1]
def test_manage_refuses_before_anything_is_touched(tmp_path: Path) -> None:
    for part in ("scripts", "terraform", "values", "charts"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", ".terraform"))
    file = tmp_path / "terraform/environments/prod.tfvars"
    file.write_text(file.read_text().replace("approval_environment =", "aproval_environment ="))
    done = Manage(script=tmp_path / "scripts/manage.sh")("plan", "prod")
    assert (done.returncode, done.stdout) == (2, "")
    where, sentence = done.stderr.splitlines()
    assert where.startswith("terraform/environments/prod.tfvars:") and "`approval_environment`" in where
    assert sentence == "manage.sh: wrong settings for prod; nothing was touched."
