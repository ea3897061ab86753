"""Documents of a newer tool: a program that writes ends with a sentence, and what the newer one made stays."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

import dag_package
import dag_protocol as protocol
from dag_adopter import Adopter
from dag_store import S3Store
from scripts.local.memory_store import Memory
from scripts.local.packages import hand_make, publish, session, write
from scripts.pinned import ROOT, versions
from tests.publisher.conftest import Command
from tests.publisher.test_failures import COMMANDS, ONE, TWO, Words, words  # noqa: F401

WRITERS = ("publish", "rollback", "restore", "remove", "repair", "versions", "show", "diff")


@pytest.mark.parametrize("newer", ["pointer", "manifest"])
@pytest.mark.parametrize("name", WRITERS)
def test_a_newer_document_ends_every_command(name: str, newer: str, command: Command, words: Words, bucket: S3Store):  # noqa: F811
    """Adversary 2: it was taken for damage, and the newer version left the history."""
    last = publish(bucket, ONE)
    hand_make(bucket, TWO, previous=last, **{f"{newer}_changes": {"schema": 2}})
    before = bucket.past("")
    command(*words(name)).failed(9, "schema 2", "newer", "upgrade")
    assert bucket.past("") == before, "nothing was written"


def test_the_adopter_leaves_a_newer_package_alone_and_goes_on_with_the_others():
    memory = Memory()
    last = publish(memory, ONE)
    hand_make(memory, TWO, previous=last, pointer_changes={"schema": 2})
    write(memory, "dev/sales/dags/a.py", b"x = 'hand'\n")
    write(memory, "dev/finance/dags/f.py", b"f = 1\n")
    sales_before = memory.objects[protocol.pointer_key("dev", "sales")]
    findings = {f.package: f for f in Adopter(memory, "dev").look(None)[1]}
    assert "schema 2" in findings["sales"].problem and findings["finance"].adopted
    assert memory.objects[protocol.pointer_key("dev", "sales")] == sales_before


def test_adopt_says_which_program_is_too_old(command: Command, bucket: S3Store):
    hand_make(bucket, ONE, pointer_changes={"schema": 2})
    command("adopt").failed(9, "schema 2", "upgrade")


def test_list_shows_the_others_and_says_of_the_newer_one_what_it_is(command: Command, bucket: S3Store):
    hand_make(bucket, ONE, pointer_changes={"schema": 2})
    publish(bucket, ONE, "finance")
    done = command("list")
    assert done.code == 0 and "finance" in done.out and "schema 2" in done.out


# --- what may be added without a new schema -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of the commit that versions.yaml pins as the earlier one."""
    folder = tmp_path_factory.mktemp("earlier")
    commit = versions()["earlier"]
    done = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit, "charts/airflow-platform/files"], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"there is no commit {commit} here: a checkout without its history")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder / "charts/airflow-platform/files"


def decoded_by(programs: Path, pointer: bytes, manifest: bytes) -> dict[str, Any]:
    """What the earlier programs read in two documents."""
    code = (
        "import sys, json, base64; sys.path.insert(0, sys.argv[1])\n"
        "import dag_protocol as p\n"
        "one, two = (base64.b64decode(a) for a in sys.argv[2:4])\n"
        "pointer = p.decode_pointer(one, 'dev', 'sales')\n"
        "manifest = p.decode_manifest(two, 'dev', 'sales', pointer.ref)\n"
        "print(json.dumps([pointer.version, [f.path for f in manifest.files], p.__file__]))\n"
    )
    import base64

    arguments = [base64.b64encode(data).decode() for data in (pointer, manifest)]
    done = subprocess.run(
        [sys.executable, "-c", code, str(programs), *arguments], capture_output=True, text=True, check=True
    )
    version, files, where = json.loads(done.stdout)
    assert where.startswith(str(programs))
    return {"version": version, "files": files}


@pytest.mark.parametrize("added", [{}, {"later": {"nested": [1]}}], ids=["as today", "with fields to come"])
def test_the_programs_of_an_earlier_commit_read_what_is_written_today(added: dict[str, Any], earlier: Path):
    memory = Memory()
    publish(memory, ONE)
    live = dag_package.read_live(session(memory))
    assert live.manifest and live.pointer
    manifest = json.dumps(json.loads(live.manifest.encode()) | added).encode()
    pointer = json.loads(live.pointer.encode()) | added | {"manifest_sha256": protocol.sha256(manifest)}
    read = decoded_by(earlier, json.dumps(pointer).encode(), manifest)
    assert read == {"version": live.pointer.version, "files": sorted(ONE)}


@pytest.mark.parametrize("added", [{}, {"later": {"nested": [1]}}], ids=["as today", "with fields to come"])
def test_todays_programs_read_documents_with_fields_to_come(added: dict[str, Any]):
    memory = Memory()
    hand_make(memory, ONE, manifest_changes=added, pointer_changes=added)
    live = dag_package.read_live(session(memory))
    assert live.manifest and sorted(live.manifest.by_path) == sorted(ONE) and not live.damage
