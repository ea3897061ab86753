"""The pipelines of a repository that git-sync delivers: a commit that would end the dag-processor for everybody is not merged."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ci.pipelines import ROOT, job
from tests.ci.runner import Done, Runner, commit, git

JOBS = ["repository/github/*:validate-repository", "repository/gitlab/*:validate-repository"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two packages, and something beside the DAGs folder."""
    folder = tmp_path / "repository"
    for package in ("sales", "finance"):
        to = folder / "airflow" / "dags" / package / "dags"
        shutil.copytree(ROOT / "examples" / package / "dags", to, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "shared").mkdir()
    (folder / "shared" / "q.sql").write_text("select 1\n")
    git(folder, "init", "--quiet")
    commit(folder)
    git(folder, "remote", "add", "origin", folder.as_uri())
    return folder


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a checkout to another user")
@pytest.mark.parametrize("name", JOBS)
def test_links_that_would_end_everybodys_dags_are_refused_on_the_merge_request(
    machine: Callable[..., Runner], repository: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in (
        ("COUNT", "1"),
        ("KEY_0", "safe.directory"),
        ("VALUE_0", "*"),
    ):  # for this test's git, not for the job's
        monkeypatch.setenv(f"GIT_CONFIG_{key}", value)
    runner = machine(repository)

    def checked() -> Done:
        return runner.run(job(name), "merge")

    for folder in (repository, *repository.rglob("*")):  # as a runner has it, whose user is not the job's
        os.chown(folder, 1001, 1001, follow_symlinks=False)
    good = checked()
    assert good.code == 0 and "2 packages" in good.said, good.said
    git(repository, "clean", "--quiet", "-ffdx")  # what the job left
    for package in ("sales", "finance"):
        (repository / "airflow" / "dags" / package / "common").symlink_to("../../../shared")
    commit(repository)
    bad = checked()
    assert bad.code == 1 and "common:1: linked-folder" in bad.said and "Traceback" not in bad.said, bad.said
