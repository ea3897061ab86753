"""What stands in two files agrees."""

import re

import pytest
import yaml

from tests.helpers.terraform import ROOT

TERRAFORM = ROOT / "terraform"
MODULES = sorted(path.parent for path in TERRAFORM.glob("modules/*/main.tf"))


def names(kind, folder):
    return re.findall(rf'^{kind} "(\w+)"', (folder / f"{kind}s.tf").read_text(), re.MULTILINE)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_s_readme_lists_its_inputs_and_outputs(module):
    documented = re.findall(r"^\| `(\w+)` \|", (module / "README.md").read_text(), re.MULTILINE)
    assert documented == names("variable", module) + names("output", module)


def test_the_readme_lists_the_inputs_of_an_environment():
    documented = re.findall(r"^\| `(\w+)` \|", (TERRAFORM / "README.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(names("variable", TERRAFORM / "environment"))


def test_every_cloud_environment_has_an_aws_side():
    environments = yaml.safe_load((ROOT / "values/environments.yaml").read_text())["environments"]
    cloud = {name for name, of in environments.items() if of["layers"][1] == "platform/cloud"}
    assert {path.stem for path in TERRAFORM.glob("environments/*.tfvars")} == cloud | {"demo"}


def test_the_provider_is_the_one_in_versions_yaml():
    version = yaml.safe_load((ROOT / "versions.yaml").read_text())["terraform_aws_provider"]
    assert f'version = "{version}"' in (TERRAFORM / "environment/versions.tf").read_text()
    assert f'version     = "{version}"' in (TERRAFORM / "environment/.terraform.lock.hcl").read_text()
