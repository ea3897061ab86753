"""Whether a file can be run comes along, as git keeps it: published, delivered, adopted, brought back and exported."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dag_package
import dag_protocol as protocol
from airflow_dag_publisher import working_copy
from dag_adopter import Adopter
from dag_store import S3Store
from dag_sync_fetch import Bucket
from dag_sync_syncer import Syncer
from dag_tree import Tree
from scripts.local.packages import session, write

SALES = ("--package-name", "sales")
KEY = "dev/sales/dags/bin/run.sh"


def script(word: str) -> str:
    return f"#!/bin/sh\necho {word}\n"


@pytest.fixture
def author(tmp_path: Path) -> Path:
    """A package with a script that can be run, and one with the same bytes that cannot."""
    folder = tmp_path / "author"
    for name in ("bin/run.sh", "plain.sh"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(script("one"))
    (folder / "bin/run.sh").chmod(0o755)
    return folder


@pytest.fixture
def publish(command: Any, author: Path) -> Callable[[], Any]:
    def run() -> Any:
        return command("publish", *SALES, "--dags-dir", str(author), "--no-validate", "--output", "json").json

    return run


@pytest.fixture
def pod(bucket: S3Store, tmp_path: Path) -> Callable[[], Path]:
    """Syncs, and gives the folder that a task sees."""
    sync = Syncer(Bucket(bucket, "dev"), Tree(tmp_path / "pod"))
    sync.start()

    def synced() -> Path:
        assert sync.poll() and sync.damaged() == []
        return (tmp_path / "pod" / "sales" / "dags").resolve()

    return synced


def said(folder: Path) -> str:
    """What a task that runs the script sees."""
    assert mode(folder / "bin/run.sh") == 0o755
    return subprocess.run([folder / "bin/run.sh"], check=True, capture_output=True, text=True).stdout.strip()


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_a_script_can_be_run_after_publish_edit_roll_back_and_restore(
    publish: Any, pod: Any, author: Path, command: Any, bucket: S3Store
):
    publish()
    folder = pod()
    assert said(folder) == "one"
    assert mode(folder / "plain.sh") == 0o644, "equal bytes do not share a mode"
    write(bucket, KEY, script("hand").encode())
    write(bucket, "dev/sales/dags/new.sh", script("new").encode())
    adopter = Adopter(bucket, "dev")
    adopter.look(adopter.look(None)[0])
    folder = pod()
    assert said(folder) == "hand"
    assert mode(folder / "new.sh") == 0o644, "a new file by hand has nobody who says that it can be run"
    command("rollback", *SALES)
    assert said(pod()) == "one"
    command("remove", *SALES, "--yes")
    command("restore", *SALES)
    assert said(pod()) == "one"


def test_a_change_of_that_alone_is_a_version_and_sends_nothing(publish: Any, pod: Any, author: Path, command: Any):
    first = publish()
    before = pod()
    (author / "bin/run.sh").chmod(0o644)
    (author / "plain.sh").chmod(0o755)
    second = publish()
    assert second["version"] != first["version"] and second["sent"] == []
    after = pod()
    assert [mode(after / name) for name in ("bin/run.sh", "plain.sh")] == [0o644, 0o755]
    assert [mode(before / name) for name in ("bin/run.sh", "plain.sh")] == [0o755, 0o644], (
        "the one before is kept as it was"
    )
    assert not publish()["changed"]
    difference = command("diff", *SALES, first["version"], "--output", "json").json
    assert (difference["executable"], difference["not_executable"], difference["changed"]) == (
        ["plain.sh"],
        ["bin/run.sh"],
        [],
    )
    assert "not executable bin/run.sh" in command("diff", *SALES, first["version"]).out
    assert command("diff", *SALES, first["version"], "--patch", "--output", "json").code == 0
    shown = command("show", *SALES).out.splitlines()
    assert [next(line for line in shown if name in line).split()[1] for name in ("bin/run.sh", "plain.sh")] == [
        "0644",
        "0755",
    ]
    command("rollback", *SALES)
    assert said(pod()) == "one"


def test_where_the_file_system_does_not_say_it_stays_as_it_is(
    publish: Any, pod: Any, author: Path, monkeypatch: pytest.MonkeyPatch
):
    """Windows, where a CI job may publish what somebody else made executable."""
    publish()
    monkeypatch.setattr(working_copy, "KNOWS_EXECUTABLE", False)
    (author / "bin/run.sh").write_text(script("two"))
    (author / "bin/run.sh").chmod(0o644)
    publish()
    folder = pod()
    assert said(folder) == "two" and mode(folder / "plain.sh") == 0o644
    assert not publish()["changed"]


def test_a_mode_that_was_changed_on_the_disk_is_found(publish: Any, pod: Any, bucket: S3Store, tmp_path: Path):
    publish()
    (pod() / "bin/run.sh").chmod(0o644)
    sync = Syncer(Bucket(bucket, "dev"), Tree(tmp_path / "pod"))
    sync.start()
    assert not sync.verified_at_start and sync.poll()
    assert said((tmp_path / "pod" / "sales" / "dags").resolve()) == "one"


@pytest.mark.parametrize("value", [1, "true", None, []])
def test_what_is_no_boolean_is_refused(value: Any):
    document = {"path": "a.sh", "version_id": "v", "etag": "e", "size": 1, "sha256": "0" * 64, "executable": value}
    with pytest.raises(protocol.ProtocolError, match="'executable' is missing or not of type bool"):
        protocol._file(document)


def test_what_cannot_be_run_says_nothing_of_it(publish: Any, bucket: S3Store):
    """The field is an addition to schema 1: a package without such files has the documents that it always had."""
    publish()
    live = dag_package.read_live(session(bucket))
    assert live.manifest
    assert live.manifest.encode().count(b'"executable"') == 1
