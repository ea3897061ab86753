"""Rolling back and restoring bring back a version that is served, and say what they passed over."""

from __future__ import annotations

import pytest

import dag_package
from airflow_dag_publisher import publishing, restore, rollback
from airflow_dag_publisher.judging import refusal
from airflow_dag_publisher.publishing import NothingToDo
from dag_protocol import ProtocolError
from dag_store import S3Store
from scripts.local.memory_store import Memory
from scripts.local.packages import hand_make, publish, session
from tests.publisher.conftest import Command

GOOD, NOW = {"a.py": b"x = 'good'\n"}, {"a.py": b"x = 'now'\n"}
BAD = {
    "syntax": {"a.py": b"def (\n"},
    "an archive": {"a.py": b"x = 1\n", "z.csv": b"PK\x05\x06" + b"\0" * 18},
    "a pattern": {"a.py": b"x = 1\n", ".airflowignore": b"[z-a]\n"},
}


def live(store: Memory) -> dict[str, bytes]:
    found = dag_package.read_live(session(store))
    return {f.path: store.get("dev/sales/dags/" + f.path, 1000, f.version_id)[0] for f in found.files.values()}


@pytest.mark.parametrize("why", BAD)
def test_rollback_passes_over_what_would_not_be_served(why: str):
    """Tried: it went back to a version with a syntax error, reported success, and pods served a third one."""
    memory = Memory()
    good = publish(memory, GOOD)
    bad = hand_make(memory, BAD[why], previous=good)
    hand_make(memory, NOW, previous=bad)
    outcome = rollback.rollback(session(memory), judge=refusal)
    assert outcome.manifest.of == good and live(memory) == GOOD and set(outcome.passed_over) == {bad}


def test_rollback_to_a_version_that_would_not_be_served_is_refused_and_writes_nothing():
    memory = Memory()
    bad = hand_make(memory, BAD["syntax"], previous=publish(memory, GOOD))
    hand_make(memory, NOW, previous=bad)
    before = dict(memory.objects)
    with pytest.raises(ProtocolError, match=r"would not be served: a\.py:1: does not compile"):
        rollback.rollback(session(memory), bad, judge=refusal)
    assert memory.objects == before


def test_rollback_with_nothing_that_works_says_so():
    memory = Memory()
    bad = hand_make(memory, BAD["syntax"])
    hand_make(memory, NOW, previous=bad)
    with pytest.raises(NothingToDo, match="no older version of sales would be served"):
        rollback.rollback(session(memory), judge=refusal)


def test_a_version_whose_bytes_are_gone_is_passed_over():
    memory = Memory()
    good = publish(memory, GOOD)
    lost = publish(memory, {"a.py": b"x = 'lost'\n"})
    publish(memory, NOW)
    key = "dev/sales/dags/a.py"
    memory.objects[key] = tuple(v for v in memory.objects[key] if v.data != b"x = 'lost'\n")
    outcome = rollback.rollback(session(memory), judge=refusal)
    assert outcome.manifest.of == good and "gone from bucket" in outcome.passed_over[lost]


def test_restore_of_a_removed_package_brings_back_the_newest_version_that_works():
    memory = Memory()
    good = publish(memory, GOOD)
    bad = hand_make(memory, BAD["syntax"], previous=good)
    publishing.remove(session(memory))
    outcome = restore.restore(session(memory), judge=refusal)
    assert outcome.manifest.of == good and live(memory) == GOOD and set(outcome.passed_over) == {bad}


def test_the_command_says_what_it_passed_over(command: Command, bucket: S3Store):
    good = publish(bucket, GOOD)
    bad = hand_make(bucket, BAD["syntax"], previous=good)
    hand_make(bucket, NOW, previous=bad)
    done = command("rollback", "--package-name", "sales")
    assert done.code == 0 and f"{bad} is passed over" in done.out and f"with the contents of {good}" in done.out
    command("rollback", "--package-name", "sales", "--to", bad).failed(1, bad, "would not be served")


def test_versions_says_which_are_out_of_reach(command: Command, bucket: S3Store):
    lost = publish(bucket, {"a.py": b"x = 'lost'\n"})
    kept = publish(bucket, NOW)
    oldest = bucket.past("dev/sales/dags/a.py")[-1]
    bucket.client.delete_object(Bucket=bucket.bucket, Key=oldest.key, VersionId=oldest.version_id)
    rows = {
        row["version"]: row["out_of_reach"]
        for row in command("versions", "--package-name", "sales", "--output", "json").json
    }
    assert rows == {lost: True, kept: False}
    assert f"{lost} (out of reach)" in command("versions", "--package-name", "sales").out
