"""The pages on CI: what they name is there, what they say of a failure is what the publisher says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.maintain.reference_docs import EXITS
from tests.ci.pipelines import ALL, EXAMPLES, FILES, ROOT

PAGES = [ROOT / "docs/how-to/ci-for-a-package.md", ROOT / "docs/how-to/ci-for-the-platform.md", EXAMPLES / "README.md"]
# Of the package's own repository, or made by the commands of the page.
THEIRS = ("dags/", "image/")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_file_that_is_named_exists(page: Path) -> None:
    text = page.read_text()
    links = [page.parent / link for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)]
    named = re.findall(r"(?<![\w/.-])((?:examples|docs|scripts|tests|terraform|locks|values)/[\w./-]+)", text)
    folders = re.findall(r"`((?:package|platform|repository)/\w+)`", text)
    paths = [*links, *(ROOT / path.rstrip(".") for path in named), *(EXAMPLES / path for path in folders)]
    assert paths and not [path for path in paths if not path.exists()]
    assert not [word for word in re.findall(r"`([a-z]+/)`", text) if word not in THEIRS]


@pytest.mark.parametrize("page", PAGES[:2], ids=lambda page: page.stem)
def test_every_pipeline_of_the_page_is_linked(page: Path) -> None:
    what = "package" if "package" in page.stem else "platform"
    linked = {(page.parent / link).resolve() for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text())}
    assert {file for file in FILES if f"/{what}/" in file.as_posix()} <= linked


@pytest.mark.parametrize("page", PAGES[:2], ids=lambda page: page.stem)
def test_jobs_and_variables_of_the_page_are_those_of_the_files(page: Path) -> None:
    jobs = {re.sub(r"^(plan)-.*", r"\1", job.name) for job in ALL} | {"publish-…"}
    rows = re.findall(r"^\| `([a-z-]+…?)`", page.read_text(), re.MULTILINE)
    assert rows and set(rows) - {"main"} <= jobs
    variables = {name for job in ALL for name in job.variables}
    assert set(re.findall(r"^\| `([A-Z_]+)`", page.read_text(), re.MULTILINE)) <= variables


def test_the_exit_codes_are_the_publisher_s() -> None:
    text = PAGES[0].read_text()
    codes = {int(code) for code in re.findall(r"\| `(?:validate|publish-…)` \| exit (\d+)", text)}
    curl = {22}
    assert codes - curl <= {int(code) for code in EXITS}
    assert {1, 2, 3, 4, 6, 7, 8} <= codes
