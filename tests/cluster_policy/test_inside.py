"""The program that the other tests ask: each question sees what is in the folders now, whatever was there before."""

from __future__ import annotations

from pathlib import Path

from .conftest import Policies, dag, start, write

NOTIFIER = {"classpath": "written_later.Notifier"}


def test_a_folder_that_was_not_there_when_the_program_began_is_searched(tmp_path: Path) -> None:
    """Python remembers for ever that a folder of its path is missing; a question may be asked long after."""
    later = tmp_path / "later"
    with start(tmp_path / "home", settings={"PYTHONPATH": str(later)}) as policies:
        policies.ask("leaked")  # so it has begun, and looked there for all that Airflow imports
        write(later, {"written_later.py": "def Notifier(**_): return print"})
        policies.say(on_failure=[NOTIFIER])
        root = write(policies.airflow.dags, {"sales/dags/x.py": dag("sales_x")})
        assert not policies.ask("callbacks", root=str(root))["log"]


def test_between_tests_the_folders_are_emptied_and_never_away(policies: Policies) -> None:
    folders = (policies.lib, policies.airflow.dags)
    for folder in folders:
        write(folder, {"a.py": "", "sub/b.py": ""})
    before = [folder.stat().st_ino for folder in folders]
    policies.emptied()
    assert [(folder.stat().st_ino, list(folder.iterdir())) for folder in folders] == [(inode, []) for inode in before]
