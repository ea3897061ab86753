"""No `*` in a policy without a reason beside it: on the line itself, or on the one above."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from scripts.pinned import ROOT

LISTS = "actions|not_actions|resources|not_resources|identifiers"
KEYS = rf'"?\b(?:{LISTS}|(?:Not)?(?:Action|Resource|Principal))\b"?\s*[=:](?!=)'
TOKEN = re.compile(
    rf'(?P<key>{KEYS})|(?P<string>"(?:\\.|[$%]{{(?:"[^"]*"|[^"}}])*}}|[^"\\])*")|(?P<comment>#.*|//.*)|(?P<bracket>[\[\](){{}}])'
)
# An action with a wildcard is one wherever it stands: lists are often made elsewhere.
ACTION = re.compile(r"[a-z0-9-]+:[A-Za-z]*[*?][A-Za-z*?]*")
# All there is, everywhere, or all of one type. A prefix below something with a name is none of these.
EVERYTHING = re.compile(r"\*+|arn:.*:(\*.*|[a-z-]+/\*)")
REASON = re.compile(r"(#|//).*\w")


def stars(text: str) -> Iterator[int]:
    """The lines that have a `*` in an action, or for everything in a list of a policy, and no reason."""
    depth, inside, above = 0, False, ""
    for number, line in enumerate(text.splitlines(), 1):
        found, comment = False, ""
        for token in TOKEN.finditer(line):
            if token["key"]:
                inside = True
                depth = 0
            elif token["string"]:
                value = re.sub(r"[$%]\{[^}]*\}", "x", token["string"][1:-1])
                found |= bool(ACTION.fullmatch(value) or (inside and EVERYTHING.fullmatch(value)))
            elif token["comment"]:
                comment = token["comment"]
            elif inside:
                depth += 1 if token["bracket"] in "[({" else -1
        inside = inside and depth > 0
        if found and not REASON.match(comment) and not REASON.match(above):
            yield number
        above = line.strip()


def test_a_star_has_its_reason_beside_it() -> None:
    files = [file for file in (ROOT / "terraform").rglob("*.tf") if ".terraform" not in file.parts]
    assert files
    bare = [f"{file.relative_to(ROOT)}:{line}" for file in sorted(files) for line in stars(file.read_text())]
    assert not bare, "\n".join(["write beside it why it takes a *:", *bare])


@pytest.mark.parametrize(
    "text",
    [
        'actions = ["s3:*"]',
        'actions = ["s3:GetObject", "ecr:Get*"]',
        'not_actions = ["iam:?et"]',
        'pull = ["ecr:BatchGet*"]',
        'resources = ["*"]',
        'not_resources = ["*"]',
        'resources = [var.arn, "*"]',
        'resources = ["arn:aws:s3:::*"]',
        'resources = ["arn:aws:logs:*:${var.account}:log-group/x"]',
        'resources = ["arn:${local.partition}:iam::${var.account}:role/*"]',
        'identifiers = ["*"]',
        'Statement = [{ Effect = "Allow", Action = "s3:GetObject", Resource = "*" }]',
        'Principal = { AWS = "*" }',
        '"Principal": {"AWS": ["*"]},',
        '"NotAction": "s3:*"',
        '# \n actions = ["s3:*"]',
        'actions = ["s3:*"] #',
        '# too far\n\nactions = ["s3:*"]',
        '# of the line below\na = 1\nactions = ["s3:*"]',
        'actions = ["s3:${join("", ["#"])}*"]',
    ],
)
def test_a_bare_star_is_noticed(text: str) -> None:
    assert list(stars(text)) == [text.count("\n") + 1]


def test_each_line_of_a_list_needs_its_own() -> None:
    text = 'resources = [\n  # the whole\n  "*",\n  var.arn,\n  "arn:aws:s3:::*",\n]\nkeys = ["*"]\n'
    assert list(stars(text)) == [5]


@pytest.mark.parametrize(
    "text",
    [
        'resources = ["${local.arn}/*", "${var.bucket_arn}/${var.environment}/*"]',
        'resources = ["arn:aws:iam::${var.account}:role/airflow-*"]',
        'actions = ["s3:*"] # with the condition: nothing without TLS',
        '# the API has no resources\nresources = ["*"]',
        'tagPatternList = ["*"]',
        'values = ["logs/${var.environment}/*", "repo:acme/x:*"]',
        "days = var.a * 2",
        'resources = [var.arn]\nvalues = ["*"]',
        '# resources = ["*"]',
    ],
)
def test_a_star_with_a_name_or_a_reason_passes(text: str) -> None:
    assert not list(stars(text))
