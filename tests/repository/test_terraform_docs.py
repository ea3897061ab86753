"""What is generated in terraform/, on small modules."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

import dag_protocol as protocol
from scripts.maintain import terraform_docs
from scripts.maintain.terraform_docs import BEGIN, END
from tests.helpers.needs import needs_terraform

VARIABLES = """
variable "packages" {
  description = <<-EOT
    Packages "by" name,
      each <of> a | or `<b>`.

    More of them: $${x}.
  EOT
  type = map(object({
    # Who publishes it,
    # by ARN.
    publishers = list(string)
    github = optional(object({
      repository = string # owner/name
      refs       = optional(list(string), ["refs/heads/main"])
    }))

    # Above an empty line, so of nothing.

    days  = optional(number, 365) # beside
    quota = optional(object({ cpu = string, memory = optional(string, "1Gi, (or so)") }), { cpu = "1" })
  }))
  default = {}
}

variable "days" {
  description = "Say \\"days\\"."
  type        = number
  default     = null

  validation {
    condition     = var.days != 0
    error_message = "No."
  }
}

variable "names" {
  description = "Names."
  default = [
    "a|b", # a comment
    "c",
  ]
}

variable "roles" {
  description = "Roles."
  type        = set(object({ name = string }))
}
"""
MAIN = """
resource "aws_s3_bucket" "this" {}
resource "aws_iam_role_policy" "this" {}
resource "aws_iam_role" "a" {}
resource "aws_iam_role" "b" {}
data "aws_region" "current" {}
module "reader" {
  source = "../dag-read"
}
output "arn" {
  description = "ARN of the bucket."
  value       = 1
}
"""
EXAMPLE = 'module "thing" {\n  source = "../"\n}\n'
REFERENCE = r"""
```hcl
module "thing" {
  source = "../"
}
```

| Input | Type | Default | Meaning |
|---|---|---|---|
| `packages` | map(object) | `{}` | Packages "by" name, each \<of> a \| or `<b>`. More of them: ${x}. |
| `packages.*.publishers` | list(string) | | Who publishes it, by ARN. |
| `packages.*.github` | object | `null` | |
| `packages.*.github.repository` | string | | owner/name |
| `packages.*.github.refs` | list(string) | `["refs/heads/main"]` | |
| `packages.*.days` | number | `365` | beside |
| `packages.*.quota` | object | `{cpu = "1"}` | |
| `packages.*.quota.cpu` | string | | |
| `packages.*.quota.memory` | string | `"1Gi, (or so)"` | |
| `days` | number | `null` | Say "days". |
| `names` | any | `["a\|b", "c"]` | Names. |
| `roles` | set(object) | | Roles. |
| `roles.*.name` | string | | |

| Output | Meaning |
|---|---|
| `arn` | ARN of the bucket. |

Resources: `aws_iam_role`, `aws_iam_role_policy`, `aws_s3_bucket`.

Modules: `dag-read`.

"""
README = f"# thing\n\nBefore.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "modules" / "thing"
    (folder / "example").mkdir(parents=True)
    (folder / "main.tf").write_text(MAIN)
    (folder / "variables.tf").write_text(VARIABLES)
    (folder / "example" / "main.tf").write_text(EXAMPLE)
    (folder / "README.md").write_text(README)
    return folder


def test_the_reference_replaces_what_stands_between_the_markers(tmp_path: Path, module: Path) -> None:
    ours = README.replace("old\n", REFERENCE)
    assert terraform_docs.generated(tmp_path) == {module / "README.md": ours}
    (module / "README.md").write_text(ours)
    assert terraform_docs.generated(tmp_path) == {module / "README.md": ours}, "not the same the second time"


def test_a_module_of_nothing_but_outputs_has_no_other_table(tmp_path: Path) -> None:
    (tmp_path / "outputs.tf").write_text('output "a" {\n  description = "A."\n  value = 1\n}\n')
    assert terraform_docs.reference(tmp_path) == "| Output | Meaning |\n|---|---|\n| `a` | A. |\n"


def test_a_readme_without_markers_is_left_alone_and_listed(tmp_path: Path, module: Path) -> None:
    root = tmp_path / "environment"
    root.mkdir()
    (root / "main.tf").write_text(MAIN)
    (module / "README.md").write_text("# thing\n")
    assert terraform_docs.generated(tmp_path) == {}
    assert terraform_docs.without_markers(tmp_path) == [module / "README.md", root / "README.md"]


@pytest.mark.parametrize("text", [f"{BEGIN}\n", f"{END}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n"])
def test_half_a_place_is_refused(tmp_path: Path, module: Path, text: str) -> None:
    (module / "README.md").write_text(text)
    with pytest.raises(ValueError, match=r"thing/README\.md needs the line .* each once\."):
        terraform_docs.generated(tmp_path)


def test_what_says_nothing_of_itself_is_refused(tmp_path: Path, module: Path) -> None:
    (module / "variables.tf").write_text('variable "x" {\n  type = string\n}\n')
    with pytest.raises(ValueError, match="thing: variable x has no description"):
        terraform_docs.generated(tmp_path)


def test_a_folder_gets_the_locals_of_the_protocol_that_it_uses(tmp_path: Path, module: Path) -> None:
    (module / "README.md").unlink()
    uses = "locals {\n  a = local.package_pattern\n  b = local.package_max_length\n  c = local.environment_reserved_no\n}\n"
    (module / "locals.tf").write_text(uses)
    (text,) = terraform_docs.generated(tmp_path).values()
    assert list(terraform_docs.generated(tmp_path)) == [module / "protocol.tf.json"]
    assert json.loads(text) == {
        "//": "Generated by `make docs`; do not edit.",
        "locals": {"package_pattern": protocol.PACKAGE_PATTERN, "package_max_length": 40},
    }


@pytest.mark.parametrize("name", ["logs", "manifests", "pointers"])
def test_reserved_names_are_those_that_the_protocol_refuses(name: str) -> None:
    names = terraform_docs.protocol_names()
    assert name in names["environment_reserved"]
    with pytest.raises(protocol.ProtocolError):
        protocol.check_environment(name)
    assert protocol.check_environment("dev") not in names["environment_reserved"]


@pytest.mark.parametrize(
    ("kind", "check"), [("package", protocol.check_package), ("environment", protocol.check_environment)]
)
def test_lengths_are_those_that_the_protocol_takes(kind: str, check) -> None:
    names = terraform_docs.protocol_names()
    shortest, longest = names[f"{kind}_min_length"], names[f"{kind}_max_length"]
    assert check("a" * shortest) and check("a" * longest)
    for length in (shortest - 1, longest + 1):
        with pytest.raises(protocol.ProtocolError):
            check("a" * length)


def test_no_protocol_tf_json_is_left_from_before() -> None:
    found = {path for folder in terraform_docs.folders() for path in folder.glob(terraform_docs.PROTOCOL)}
    assert found <= set(terraform_docs.generated())


@pytest.mark.terraform
@needs_terraform[1]
def test_terraform_reads_what_is_generated(tmp_path: Path, module: Path) -> None:
    folder = tmp_path / "alone"
    folder.mkdir()
    # An expression asks AWS: what becomes of it is in tests/terraform/test_partitions.py.
    plain = {name: value for name, value in terraform_docs.protocol_names().items() if "${" not in str(value)}
    (folder / "main.tf").write_text("".join(f"# local.{name}\n" for name in plain))
    (folder / terraform_docs.PROTOCOL).write_text(terraform_docs.protocol_locals(folder) or "")
    asked = "jsonencode([{}])\n".format(", ".join(f"local.{name}" for name in plain))
    said = subprocess.run(
        ["terraform", "console"],
        cwd=folder,
        input=asked,
        env={**os.environ, "TF_CLI_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(json.loads(said.stdout)) == list(plain.values())
