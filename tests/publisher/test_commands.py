"""Each command against a real S3 server: what it does, what it says, in text and in JSON."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dag_protocol as protocol
from dag_store import S3Store
from scripts.local.packages import hand_make, write
from tests.publisher.conftest import Command

DAG = 'from airflow.sdk import DAG\nd = DAG("sales_one", default_args={"owner": "sales"}, tags=["sales"])\n'
SALES = ("--package-name", "sales")
QUICK = (*SALES, "--no-validate")
Folder = Callable[..., Path]


def history(bucket: S3Store) -> list[Any]:
    """Every version of every object."""
    return sorted((v.key, v.version_id, v.latest, v.deleted) for v in bucket.past(""))


@pytest.fixture
def published(command: Command, folder: Folder) -> list[str]:
    """Two versions: their names, oldest first."""
    names = []
    for number in (1, 2):
        root = folder({"a.py": f"x = {number}\n", "lib/b.sql": "select 1\n"})
        names.append(
            command("publish", *QUICK, "--dags-dir", str(root), "--source", f"c0ffee{number}", "--output", "json").json[
                "version"
            ]
        )
    return names


def test_publish_validates_sends_and_tells(command: Command, folder: Folder, bucket: S3Store):
    root = folder({"a.py": DAG, "lib/b.sql": "select 1\n"})
    done = command("publish", *SALES, "--dags-dir", str(root), "--no-parse")
    assert done.code == 0, done.err
    assert re.search(r"^published sales \d{8}T\d{6}Z-\w{8}: 2 files, 2 sent, 0 deleted$", done.out, re.MULTILINE)
    assert "0 errors" in done.err
    assert set(bucket.listing("dev/")) == {"dev/sales/dags/a.py", "dev/sales/dags/lib/b.sql"}
    again = command("publish", *SALES, "--dags-dir", str(root), "--no-parse")
    assert again.code == 0 and "is live already: nothing to do" in again.out


def test_publish_refuses_what_validation_refuses(command: Command, folder: Folder, bucket: S3Store):
    before = history(bucket)
    done = command("publish", *SALES, "--dags-dir", str(folder({"a.py": "def (\n"})), "--no-parse")
    assert done.code == 1 and "a.py:1" in done.err and "was not published" in done.err.splitlines()[-1]
    assert history(bucket) == before


def test_publish_without_validation_is_loud(command: Command, folder: Folder):
    done = command("publish", *QUICK, "--dags-dir", str(folder({"a.py": "x = 1\n"})))
    assert done.code == 0 and "WARNING" in done.err and "without validation" in done.err


def test_publish_sends_what_changed_and_marks_what_left(command: Command, published: list[str], folder: Folder):
    root = folder({"a.py": "x = 2\n", "new.py": "y = 1\n"}, "other")
    done = command("publish", *QUICK, "--dags-dir", str(root), "--output", "json").json
    assert (
        done["sent"] == ["new.py"]
        and done["deleted"] == ["lib/b.sql"]
        and done["changed"]
        and done["kind"] == "publish"
    )


def test_publish_of_single_files_keeps_the_others(command: Command, published: list[str], folder: Folder):
    root = folder({"new.py": "y = 1\n", "a.py": "x = 3\n"}, "other")
    done = command(
        "publish", *QUICK, "--dag-file", str(root / "new.py"), "--dag-file", str(root / "a.py"), "--output", "json"
    ).json
    assert done["sent"] == ["a.py", "new.py"] and done["deleted"] == []
    files = {f["path"] for f in command("show", *SALES, "--output", "json").json["files"]}
    assert files == {"a.py", "new.py", "lib/b.sql"}


def test_publish_refuses_a_name_that_could_be_taken_for_another(command: Command, published: list[str], folder: Folder):
    done = command(
        "publish", "--package-name", "sales_eu", "--no-validate", "--dags-dir", str(folder({"a.py": "x = 1\n"}))
    )
    done.failed(1, "sales_eu", "sales", "choose another name")


def test_publish_keeps_an_edit_by_hand_as_a_version(
    command: Command, published: list[str], folder: Folder, bucket: S3Store
):
    write(bucket, "dev/sales/dags/a.py", b"by = 'hand'\n")
    root = folder({"a.py": "x = 4\n", "lib/b.sql": "select 1\n"}, "other")
    done = command("publish", *QUICK, "--dags-dir", str(root))
    assert "edits by hand were found and kept as version" in done.out
    kinds = [v["kind"] for v in command("versions", *SALES, "--output", "json").json]
    assert kinds == ["publish", "adopt", "publish", "publish"]


def test_versions_and_show_tell_everything_uncut(command: Command, published: list[str]):
    text = command("versions", *SALES).out
    assert all(name in text for name in published) and f"{published[1]} (live)" in text and "c0ffee2" in text
    rows = command("versions", *SALES, "--output", "json").json
    assert [r["version"] for r in rows] == published[::-1] and rows[0]["previous"] == published[0]
    assert len(command("versions", *SALES, "--limit", "1", "--output", "json").json) == 1
    old = command("show", *SALES, published[0], "--output", "json").json
    assert old["state"] == "not live" and {f["path"]: f["size"] for f in old["files"]} == {"a.py": 6, "lib/b.sql": 9}
    shown = command("show", *SALES).out
    assert all(f["version_id"] in command("show", *SALES, published[0]).out for f in old["files"]) and "(live)" in shown


def test_list_tells_every_package_broken_ones_too(command: Command, published: list[str], bucket: S3Store):
    hand_make(bucket, package="finance", pointer_bytes=b"{")
    write(bucket, "pointers/dev/", b"")
    rows = {r["package"]: r for r in command("list", "--output", "json").json}
    assert rows["sales"]["version"] == published[1] and rows["sales"]["state"] == "live"
    assert rows["finance"]["state"].startswith("broken: ") and "not JSON" in rows["finance"]["state"]
    assert published[1] in command("list").out


def test_diff_tells_versions_folders_and_drift(command: Command, published: list[str], folder: Folder, bucket: S3Store):
    assert command("diff", *SALES, *published, "--output", "json").json == {
        "added": [],
        "changed": ["a.py"],
        "executable": [],
        "not_executable": [],
        "removed": [],
    }
    assert command("diff", *SALES, published[0]).out.split() == ["changed", "a.py"]
    patch = command("diff", *SALES, *published, "--patch").out
    assert "-x = 1" in patch and "+x = 2" in patch
    root = folder({"a.py": "x = 2\n", "n.py": ""}, "other")
    assert command("diff", *SALES, "--dags-dir", str(root), "--output", "json").json == {
        "added": ["n.py"],
        "changed": [],
        "executable": [],
        "not_executable": [],
        "removed": ["lib/b.sql"],
    }
    assert "no drift" in command("diff", *SALES).out
    write(bucket, "dev/sales/dags/a.py", b"hand")
    write(bucket, "dev/sales/dags/left.py", b"", "20260101T000000Z-00000000")
    bucket.client.delete_object(Bucket=bucket.bucket, Key="dev/sales/dags/lib/b.sql")
    drift = command("diff", *SALES, "--output", "json").json
    assert drift == {"edited": ["a.py"], "refused": {}, "deleted": ["lib/b.sql"], "leftover": ["left.py"], "damage": ""}


def test_each_rollback_goes_one_further_back(command: Command, published: list[str], folder: Folder):
    command("publish", *QUICK, "--dags-dir", str(folder({"a.py": "x = 3\n", "lib/b.sql": "select 1\n"})))
    one = command("rollback", *SALES, "--output", "json").json
    assert one["of"] == published[1] and one["kind"] == "rollback" and one["sent"] == ["a.py"]
    assert command("rollback", *SALES, "--output", "json").json["of"] == published[0]
    command("rollback", *SALES).failed(5, "nothing to go back to")
    assert command("rollback", *SALES, "--to", published[1], "--output", "json").json["of"] == published[1]
    assert "rollback of" in command("versions", *SALES).out


def test_remove_and_restore_are_each_other_s_way_back(command: Command, published: list[str], bucket: S3Store):
    done = command("remove", *SALES, "--yes")
    assert done.code == 0 and "the way back: airflow-dag-publisher restore --package-name sales" in done.out
    assert bucket.listing("dev/sales/") == {} and "removed" in command("list").out
    assert "(removed)" in command("versions", *SALES).out
    back = command("restore", *SALES, "--output", "json").json
    assert back["kind"] == "restore" and sorted(back["sent"]) == ["a.py", "lib/b.sql"]
    assert len(bucket.listing("dev/sales/")) == 2


def test_restore_brings_single_files_back(command: Command, published: list[str], folder: Folder):
    command("publish", *QUICK, "--dags-dir", str(folder({"n.py": "n = 1\n"}, "other")))
    back = command("restore", *SALES, "lib/b.sql", "--output", "json").json
    assert back["sent"] == ["lib/b.sql"]
    command("restore", *SALES, "never.py").failed(5, "never.py", "no version of sales has")


def test_adopt_makes_a_version_of_edits(command: Command, published: list[str], bucket: S3Store):
    assert "nothing was edited by hand" in command("adopt").out
    write(bucket, "dev/sales/dags/hand.py", b"h = 1\n")
    write(bucket, "dev/finance/dags/f.py", b"f = 1\n")
    done = command("adopt", "--package-name", "sales")
    assert done.code == 0 and "sales: hand.py adopted as version" in done.out and "finance" not in done.out
    assert [f["package"] for f in command("adopt", "--output", "json").json if f["adopted"]] == ["finance"]


def test_repair_makes_the_live_objects_current_again(command: Command, published: list[str], bucket: S3Store):
    assert "nothing to repair" in command("repair", *SALES).out
    write(bucket, "dev/sales/dags/left.py", b"", "20260101T000000Z-00000000")
    bucket.client.delete_object(Bucket=bucket.bucket, Key="dev/sales/dags/a.py")
    done = command("repair", *SALES, "--output", "json").json
    assert done["sent"] == ["a.py"] and done["deleted"] == ["left.py"] and done["kind"] == "repair"
    assert "nothing to repair" in command("repair", *SALES).out


def test_repair_puts_back_a_pointer_deleted_by_hand(command: Command, published: list[str], bucket: S3Store):
    bucket.client.delete_object(Bucket=bucket.bucket, Key=protocol.pointer_key("dev", "sales"))
    assert command("repair", *SALES, "--output", "json").json["changed"]
    assert len(command("versions", *SALES, "--output", "json").json) == 3, "the history was lost"


DRY = {
    "publish": ("publish", *QUICK, "--dags-dir", "DIR"), "rollback": ("rollback", *SALES), "restore": ("restore", *SALES),
    "remove": ("remove", *SALES), "repair": ("repair", *SALES), "adopt": ("adopt",),
}  # fmt: skip


@pytest.mark.parametrize("name", DRY)
def test_a_dry_run_writes_nothing_and_says_what_it_would_do(
    name: str, command: Command, published: list[str], folder: Folder, bucket: S3Store
):
    write(bucket, "dev/sales/dags/hand.py", b"h = 1\n")
    bucket.client.delete_object(Bucket=bucket.bucket, Key="dev/sales/dags/a.py")
    root = folder({"a.py": "x = 9\n", "n.py": "n = 1\n"}, "other")
    before = history(bucket)
    words = [str(root) if w == "DIR" else w for w in DRY[name]]
    done = command(*words, "--dry-run")
    assert done.code == 0, done.err
    assert history(bucket) == before
    assert name == "adopt" or "dry run: nothing was written" in done.out
    real = command(*words, *(["--yes"] if name == "remove" else []), "--output", "json")
    assert real.code == 0 and history(bucket) != before


def test_remove_asks_first(command: Command, published: list[str], bucket: S3Store, monkeypatch: pytest.MonkeyPatch):
    before = history(bucket)
    command("remove", *SALES).failed(2, "--yes")  # no terminal to ask on
    monkeypatch.setattr("airflow_dag_publisher.commands.going_back.asks", lambda: True)
    monkeypatch.setattr("click.confirm", lambda text, err: False)
    command("remove", *SALES).failed(130, "not removed")
    assert history(bucket) == before


def test_texts_from_elsewhere_are_shown_as_they_are(command: Command, folder: Folder):
    """A table must take neither a file name nor a commit for its own markup."""
    root = folder({"[bold]a.py": "x = 1\n"})
    done = command("publish", *QUICK, "--dags-dir", str(root), "--source", "[/red]")
    assert done.code == 0, done.err
    assert "[bold]a.py" in command("show", *SALES).out
    assert "[/red]" in command("versions", *SALES).out


def test_every_command_has_help(command: Command):
    for name in (
        "",
        "validate",
        "publish",
        "versions",
        "show",
        "list",
        "diff",
        "rollback",
        "restore",
        "remove",
        "repair",
        "adopt",
    ):
        done = command(*([name] if name else []), "--help")
        assert done.code == 0 and "Usage: airflow-dag-publisher" in done.out
