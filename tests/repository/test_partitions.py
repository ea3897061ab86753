"""AWS is called otherwise in China and in GovCloud: what people run or copy has no partition and no DNS suffix written out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.pinned import ROOT

FOLDERS = (".ci", "charts", "docs", "examples", "packages", "scripts", "terraform", "values")
NOT_OURS = {".terraform", ".venv", "__pycache__", "benchmarks"}  # the last: what was measured, as it was written then
LITERAL = re.compile(r"arn:aws:|amazonaws\.com")

# Where a path begins, what is written out there, and why it may be.
EXCUSED = [
    ("", r"eks\.amazonaws\.com/role-arn", "the annotation of IRSA, called so in every partition"),
    ("terraform/modules/", r'"(s3|pods\.eks)\.amazonaws\.com"', "the name of a service, the same in every partition"),
    ("terraform/modules/.*/protocol.tf.json", r'\\"sts\.amazonaws\.com\\"', "what pods' tokens are for, in every partition"),
    ("examples/ci/", r"DNS_SUFFIX: amazonaws\.com # amazonaws\.com\.cn in China", "the default of what is filled in"),
    ("docs/how-to/ci-for-", r"`amazonaws\.com(\.cn)?`", "says what is filled in"),
    ("docs/reference/iam.md", r"arn:aws:|amazonaws\.com", "generated from a plan in AWS's own partition"),
    ("scripts/(bench|local|maintain)/", r"arn:aws:|amazonaws\.com", "the fake AWS of this machine is in AWS's own partition"),
    ("docs/how-to/networks.md", r"truststore\.pki\.rds\.amazonaws\.com/global/", "says beside it where the others' are"),
    # Of the accounts of AWS's own documentation.
    ("", r"arn:aws:[a-z]+:[a-z0-9-]*:(123456789012|210987654321):[\w/.…-]+", "an example of a whole ARN"),
    ("", r"arn:aws:s3:::(airflow-dags|reports)-\w+", "an example of a whole ARN"),
    ("", r"123456789012\.dkr\.ecr\.eu-central-1\.amazonaws\.com", "an example of a whole address"),
    ("", r"https://oidc\.eks\.eu-central-1\.amazonaws\.com/id/", "an example of a whole issuer"),
]  # fmt: skip


def files() -> Iterator[Path]:
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.is_file() and not NOT_OURS & set(file.parts):
                yield file


def written_out(name: str, text: str, excused: set[int]) -> Iterator[str]:
    """The lines of a file that have a partition, or a suffix, and no excuse; the excuses that were needed are noted."""
    for number, line in enumerate(text.splitlines(), 1):
        rest = line
        for which, (where, what, _) in enumerate(EXCUSED):
            if LITERAL.search(rest) and re.match(where, name) and re.search(what, rest):
                excused.add(which)
                rest = re.sub(what, "", rest)
        if LITERAL.search(rest):
            yield f"{name}:{number}: {line.strip()[:120]}"


def test_no_partition_is_written_out() -> None:
    excused: set[int] = set()
    found: list[str] = []
    for file in files():
        try:
            text = file.read_text()
        except UnicodeDecodeError:
            continue
        found += written_out(file.relative_to(ROOT).as_posix(), text, excused)
    assert not found, "\n".join(["take it from Terraform's data, or from a variable; or say above why not:", *found])
    assert excused == set(range(len(EXCUSED))), [EXCUSED[n] for n in set(range(len(EXCUSED))) - excused]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("terraform/environment/main.tf", 'iam = "arn:aws:iam::${local.account}"'),
        ("terraform/modules/oidc-provider/main.tf", 'client_id_list = ["sts.amazonaws.com"]'),
        ("terraform/environment/outputs.tf", '"${local.account}.dkr.ecr.${var.region}.amazonaws.com/${each.key}"'),
        ("examples/ci/package/gitlab/.gitlab-ci.yml", "AWS_ROLE_ARN: arn:aws:iam::$ACCOUNT:role/x"),
        ("examples/ci/package/gitlab/.gitlab-ci.yml", "aud: sts.amazonaws.com"),
        ("examples/ci/package/github/.github/workflows/image.yml", 'registry="$ACCOUNT.dkr.ecr.$REGION.amazonaws.com"'),
        ("scripts/manage/apply.py", 'f"arn:aws:s3:::{bucket}"'),
        ("values/platform/cloud.yaml", "repository: ACCOUNT.dkr.ecr.REGION.amazonaws.com/airflow"),
    ],
)
def test_one_that_is_written_out_is_noticed(name: str, line: str) -> None:
    assert list(written_out(name, line, set())) == [f"{name}:1: {line}"]
