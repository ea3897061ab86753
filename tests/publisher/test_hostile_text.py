"""What documents, file names and contents say is shown, and no terminal obeys it; one package's text ends nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from dag_store import S3Store
from scripts.local.packages import hand_make, publish, write
from tests.publisher.conftest import Command

TEXTS = {
    "an escape sequence": "\x1b]0;owned\x07\x1b[2J",
    "a line end": "one\ntwo\r",
    "right to left": "\u202eevil",
    "half a character": "\ud800",
    "a long one": "x" * 5_000,
}
OK = {"a.py": b"x = 1\n"}
COMMANDS = ["list", "versions", "show", "diff", "repair"]


def harmless(text: str) -> bool:
    return all(c.isprintable() or c in "\n\t" for c in text)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_texts_of_documents_are_shown_as_text(text: str, command: Command, bucket: S3Store) -> None:
    publish(bucket, OK, "finance")
    hand_make(
        bucket,
        OK,
        manifest_changes={"publisher": text, "source": text, "created": text},
        pointer_changes={"updated": text},
    )
    for name in COMMANDS:
        package = [] if name == "list" else ["--package-name", "sales"]
        for output in ([], ["--output", "json"]) if name != "repair" else ([],):
            done = command(name, *package, *output)
            assert done.code == 0 and harmless(done.out + done.err), (name, done)
    assert "finance" in command("list").out


@pytest.mark.parametrize("text", [t for t in TEXTS.values() if "\ud800" not in t and len(t) < 100])
def test_names_of_objects_and_lines_of_files_are_shown_as_text(text: str, command: Command, bucket: S3Store) -> None:
    publish(bucket, OK)
    write(
        bucket,
        "dev/sales/dags/" + text.replace("\r", "").replace("\n", "").replace("\x1b", "%1b").replace("\x07", ""),
        b"x",
    )
    write(bucket, "dev/sales/dags/b.py", f"# {text}\n".encode())
    for words in (["diff"], ["adopt", "--dry-run"], ["adopt"], ["diff", "--patch"], ["rollback"]):
        package = ["--package-name", "sales"]
        done = command(*words, *package)
        assert harmless(done.out + done.err), (words, done)


def test_a_local_name_is_shown_as_text(command: Command, tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "a\x1b[2J.py").write_text("x = (\n")
    for words in (["validate"], ["publish"]):
        done = command(*words, "--package-name", "sales", "--dags-dir", str(tmp_path / "dags"))
        assert done.code == 1 and harmless(done.out + done.err), (words, done)
