"""What stands in two files agrees, and every file is what Terraform reads."""

import re
import shutil
import subprocess

import pytest
import tftest
import yaml

from scripts.local.terraform import PROVIDER, TERRAFORM, Modules, plugin_dir
from scripts.maintain.terraform_docs import without_markers
from scripts.pinned import ROOT
from tests.helpers.needs import needs_terraform

MODULES = sorted(path for path in TERRAFORM.glob("modules/*") if path.is_dir())
ROOTS = [TERRAFORM / "account", TERRAFORM / "environment"]
PIN = yaml.safe_load((ROOT / "versions.yaml").read_text())["terraform_aws_provider"]


def test_every_cloud_environment_has_an_aws_side():
    environments = yaml.safe_load((ROOT / "values/environments.yaml").read_text())["environments"]
    cloud = {name for name, of in environments.items() if "platform/cloud" in of["layers"]}
    assert {path.stem for path in TERRAFORM.glob("environments/*.tfvars")} == cloud | {"demo"}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_is_whole(module):
    assert {"main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md"} <= {p.name for p in module.iterdir()}
    assert (module / "example/main.tf").read_text().startswith(PROVIDER)


def test_every_readme_has_a_place_for_its_tables():
    assert not without_markers()


# --- the provider ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("root", ROOTS, ids=lambda path: path.name)
def test_a_root_has_the_provider_of_versions_yaml(root):
    assert re.findall(r'^ +version = "(.*)"', (root / "versions.tf").read_text(), re.MULTILINE) == [PIN]
    lock = (root / ".terraform.lock.hcl").read_text()
    assert re.findall(r'^ +version += "(.*)"', lock, re.MULTILINE) == [PIN]


def test_the_lock_files_are_one():
    account, environment = ((root / ".terraform.lock.hcl").read_text() for root in ROOTS)
    assert account == environment


def test_modules_take_the_provider_from_one_minor_version_on():
    """A module is used elsewhere, too: it names what it needs, and the root pins."""
    [text] = {(module / "versions.tf").read_text() for module in MODULES}
    assert f'version = "~> {PIN.rpartition(".")[0]}"' in text


# --- Terraform's own opinion ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy, so that what Terraform downloads is not in the checkout."""
    to = tmp_path_factory.mktemp("files") / "terraform"
    return shutil.copytree(TERRAFORM, to, ignore=shutil.ignore_patterns(".terraform"))


class TestTerraform:
    pytestmark = needs_terraform

    def test_every_file_is_in_its_format(self):
        done = subprocess.run(
            ["terraform", "fmt", "-check", "-diff", "-recursive", TERRAFORM],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    @pytest.mark.parametrize("root", ["account", "environment"])
    def test_a_root_is_valid(self, tree, root):
        test = tftest.TerraformTest(str(tree / root))
        test.setup(backend=False, plugin_dir=plugin_dir())
        test.execute_command("validate")  # raises with all it says

    def test_the_examples_are_valid(self, tmp_path):
        calls = {module.name: {"source": f"../modules/{module.name}/example"} for module in MODULES}
        Modules(tmp_path, {}).root("examples", module=calls).execute_command("validate")

    def test_the_packages_in_comments_are_packages(self, manage, tmp_path):
        text = (TERRAFORM / "packages.tfvars").read_text()
        examples = re.findall(r"^#   (.*)", text, re.MULTILINE)
        assert len(examples) > 5
        (tmp_path / "packages.tfvars").write_text("\n".join(["packages = {", *examples, "}"]))
        plan = manage.ok("plan", "dev", "--", f"-var-file={tmp_path}/packages.tfvars", "-no-color")
        named = set(re.findall(r"airflow-dev-publish-(\w+)", plan))
        assert named == set(re.findall(r"^#   (\w+) = \{$", text, re.MULTILINE))
