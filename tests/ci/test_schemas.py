"""The files are what GitHub and GitLab take; a broken one is noticed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.ci.pipelines import ALL, EXAMPLES, FILES, GITHUB, Job, gitlab_expanded, name_of

CHECK = Path(sys.executable).with_name("check-jsonschema")
GITHUB_SCHEMA = ["--builtin-schema", "vendor.github-workflows"]
GITLAB_SCHEMA = ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]

GITHUB_MISTAKES = [
    ("runs-on:", "runs_on:"),
    ("    steps:", "    script:"),
    ("contents: read", "contents: reed"),
    ("\non:", "\nwhen:"),
]
GITLAB_MISTAKES = [
    ("\n  script:", "\n  scripts:"),
    ("stage: ", "stage: 1 # "),
    ("when: manual", "when: asked"),
    ("aud:", "audience:"),
]
MISTAKES = [
    (file, right, wrong)
    for file in FILES
    for right, wrong in (GITHUB_MISTAKES if file in GITHUB else GITLAB_MISTAKES)
    if right in file.read_text()
]


def refusal(text: str, like: Path, folder: Path) -> str:
    """What the schema of `like`'s system has against a text; nothing, if it takes it."""
    (folder / "as-written.yml").write_text(text)
    files = [folder / "as-written.yml"]
    if like not in GITHUB:
        files.append(folder / "expanded.yml")
        files[-1].write_text(gitlab_expanded(text))
    schema = GITHUB_SCHEMA if like in GITHUB else GITLAB_SCHEMA
    done = subprocess.run([CHECK, *schema, *files], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def test_there_are_pipelines_for_every_kind_of_repository_on_both_systems() -> None:
    assert [name_of(file) for file in FILES] == [
        "package/github/dags.yml",
        "package/github/image.yml",
        "platform/github/platform.yml",
        "repository/github/repository.yml",
        "package/gitlab/.gitlab-ci.yml",
        "platform/gitlab/.gitlab-ci.yml",
        "repository/gitlab/.gitlab-ci.yml",
    ]
    others = {f for f in EXAMPLES.rglob("*") if f.is_file()} - {*FILES, EXAMPLES / "README.md"}
    assert not others, "a file that no test reads"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_the_schema_takes_it(file: Path, tmp_path: Path) -> None:
    assert not refusal(file.read_text(), file, tmp_path)


@pytest.mark.parametrize(
    ("file", "right", "wrong"), MISTAKES, ids=[f"{name_of(f)}-{w.strip()}" for f, _, w in MISTAKES]
)
def test_the_schema_refuses_a_mistake(file: Path, right: str, wrong: str, tmp_path: Path) -> None:
    assert "Schema validation errors" in refusal(file.read_text().replace(right, wrong), file, tmp_path)


@pytest.mark.parametrize("job", ALL, ids=lambda job: job.id)
def test_shellcheck_has_nothing_against_its_lines(job: Job) -> None:
    """Variables that are the system's are not its business."""
    command = [CHECK.with_name("shellcheck"), "--shell=bash", "--exclude=SC2154,SC2153", "-"]
    done = subprocess.run(command, input=job.lines, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
