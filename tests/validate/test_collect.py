"""Which files make a package."""

from __future__ import annotations

import os

import pytest

from airflow_dag_publisher.validate import Code, collect, validate_package
from tests.validate.cases import GOOD, write


def test_a_folder_gives_everything_below_it_but_caches_and_hidden_files(tmp_path):
    wanted = {"dag.py": GOOD, "sql/q.sql": "", ".airflowignore": "", "sub/.airflowignore": ""}
    write(
        tmp_path, wanted | {".git/config": "", ".env": "", "__pycache__/dag.pyc": "", "old.pyc": "", "sub/.x/y.py": ""}
    )
    assert collect(dags_dir=tmp_path) == {path: tmp_path / path for path in wanted}


def test_a_single_file_is_named_by_its_own_name(tmp_path):
    write(tmp_path, {"deep/dag.py": GOOD})
    assert collect([tmp_path / "deep/dag.py"]) == {"dag.py": tmp_path / "deep/dag.py"}


def test_two_files_of_one_name_are_refused(tmp_path):
    write(tmp_path, {"a/dag.py": GOOD, "b/dag.py": GOOD})
    with pytest.raises(ValueError, match="would both be published as dag"):
        collect([tmp_path / "a/dag.py", tmp_path / "b/dag.py"])


def test_one_file_given_twice_is_one(tmp_path):
    write(tmp_path, {"dag.py": GOOD})
    assert collect([tmp_path / "dag.py"], tmp_path) == {"dag.py": tmp_path / "dag.py"}


def test_a_folder_that_is_none_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        collect(dags_dir=tmp_path / "dogs")


def test_a_dead_link_and_a_pipe_are_told_and_not_waited_for(tmp_path):
    write(tmp_path, {"dag.py": GOOD})
    (tmp_path / "link.sql").symlink_to("gone")
    os.mkfifo(tmp_path / "pipe")
    report = validate_package("sales", collect(dags_dir=tmp_path), parse="never")
    assert [(f.path, f.code) for f in report.errors] == [("link.sql", Code.UNREADABLE), ("pipe", Code.UNREADABLE)]
