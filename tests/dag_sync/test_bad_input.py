"""Documents and files as an attacker, or a person in a hurry, could put them into the bucket."""

from __future__ import annotations

import io
import json
import signal
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dag_contents
import dag_protocol as protocol
from dag_protocol import ProtocolError, VersionRef
from scripts.local.memory_store import Memory
from scripts.local.packages import hand_make, publish, write
from tests.dag_sync.inside import action, leftovers, look_again, reason, snapshot, syncer
from tests.helpers.dag_sync import served

GOOD = {"a.py": b"x = 1\n", "lib/b.py": b"y = 2\n"}
VERSION = "20260101T000000Z-00000000"


def archive() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as zipped:
        zipped.writestr("dag.py", "x = 1")
    return data.getvalue()


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def deep(field: str, depth: int) -> bytes:
    """A manifest in which one field is nested deeply."""
    common = {"schema": 1, "environment": "dev", "package": "sales", "version": VERSION, "files": [], "kind": "publish",
              "previous": None, "of": None, "created": "", "publisher": "", "source": ""}  # fmt: skip
    return json.dumps({**common, field: "@"}).replace('"@"', "[" * depth + "]" * depth).encode()


BAD_POINTERS: dict[str, dict[str, Any]] = {
    "version is a path": {"pointer_changes": {"version": "../../../../escaped"}},
    "a version that was live is a path": {"pointer_changes": {"live_versions": ["../x"]}},
    "previous is a path": {"pointer_changes": {"previous": [{"version": "../x", "manifest_sha256": "a" * 64}]}},
    "previous is a list": {"pointer_changes": {"previous": [[]]}},
    "not JSON": {"pointer_bytes": b"{nothing"},
    "empty": {"pointer_bytes": b""},
    "a list": {"pointer_bytes": b"[]"},
    "a number": {"pointer_bytes": b"9" * 5000},
    "not UTF-8": {"pointer_bytes": b"\xff\xfe\x00"},
    "newer schema": {"pointer_changes": {"schema": 2}},
    "no schema": {"pointer_changes": {"schema": None}},
    "another package": {"pointer_changes": {"package": "finance"}},
    "another environment": {"pointer_changes": {"environment": "prod"}},
    "too large": {"pointer_bytes": b" " * (protocol.MAX_POINTER_BYTES + 1)},
    "nested deeply": {"pointer_bytes": b"[" * 60_000},
    "removed is a text": {"pointer_changes": {"removed": "no"}},
    "no digest": {"pointer_changes": {"manifest_sha256": "x"}},
}
BAD_MANIFESTS: dict[str, dict[str, Any]] = {
    "version is a path": {"manifest_changes": {"version": "../../../escaped"}},
    "not JSON": {"manifest_bytes": b"{"},
    "newer schema": {"manifest_changes": {"schema": 99}},
    "another package": {"manifest_changes": {"package": "../finance"}},
    "another environment": {"manifest_changes": {"environment": "prod"}},
    "too large": {"manifest_bytes": b" " * (protocol.MAX_MANIFEST_BYTES + 1)},
    "nested deeply": {"manifest_bytes": b"[" * 100_000},
    "another manifest than the pinned one": {"pointer_changes": {"manifest_sha256": "0" * 64}},
    "wrong hash of a file": {"file_changes": {"sha256": "0" * 64}},
    "hash is a path": {"file_changes": {"sha256": "../../escaped"}},
    "size too small": {"file_changes": {"size": 1}},
    "size negative": {"file_changes": {"size": -1}},
    "size true": {"file_changes": {"size": True}},
    "size too large for Python": {"file_changes": {"size": protocol.MAX_PYTHON_BYTES + 1}},
    "size without end": {"file_changes": {"size": 10**300}},
    "no version id": {"file_changes": {"version_id": "null"}},
    "a version id that never was": {"files": {"z.py": b"z = 1"}, "file_changes": {"version_id": "never"}},
    "a version id that cannot be sent": {"files": {"z.py": b"z = 1"}, "file_changes": {"version_id": "\ud800"}},
    "a version id with a line break": {"files": {"z.py": b"z = 1"}, "file_changes": {"version_id": "a\r\nX-Evil: 1"}},
    "kind is a list": {"manifest_changes": {"kind": []}},
    "of is nested": {"manifest_changes": {"of": nested(600)}},
    "of is a path": {"manifest_changes": {"of": "../.."}},
    "files is an object": {"manifest_changes": {"files": {}}},
    "a file is a text": {"manifest_changes": {"files": ["a.py"]}},
    "more files than allowed": {
        "manifest_changes": {"files": [{"path": f"{n}.py", "version_id": "v", "etag": "", "size": 0, "sha256": "0" * 64} for n in range(2001)]}
    },
    "a zip": {"files": {"notes.txt": archive()}},
    "a zip named .py": {"files": {"dag.py": archive()}},
    "a zip behind something": {"files": {"x.csv": b"#" * 1000 + archive()}},
    "an ignore file that ends Airflow": {"files": {".airflowignore": b"[z-a]\n"}},
    "an ignore file that brings back": {"files": {"sub/.airflowignore": b"!*\n"}},
    "an ignore file that brings back after a lone CR": {"files": {"sub/.airflowignore": b"x\r!..*\n"}},
    "an ignore file with a backslash before a lone CR": {"files": {".airflowignore": b"a\\\rb\n"}},
    "an ignore file that brings back far down": {"files": {".airflowignore": b"#" * protocol.MAX_PYTHON_BYTES + b"\n!*\n"}},
    "an ignore file that is not UTF-8": {"files": {".airflowignore": b"\xff"}},
    "Python that does not compile": {"files": {"a.py": b"def (:\n"}},
    "Python of which the second file does not compile": {"files": {"a.py": b"x = 1\n", "b.py": b"def (:\n"}},
    "Python with a NUL": {"files": {"a.py": b"x = 1\0\n"}},
    "Python in no encoding": {"files": {"a.py": b"# coding: no-such\n"}},
    "Python nested deeply": {"files": {"a.py": b"(" * 200_000 + b")" * 200_000}},
    "Python of many minus signs": {"files": {"a.py": b"x = " + b"-" * 400_000 + b"1"}},
    "legal Python that needs 300 MiB": {"files": {"a.py": b"f()\n" * 128_000}},
    "Python that needs memory": {"files": {"a.py": b"x = [" + b"(1,)," * 100_000 + b"]\n", "b.py": b"x = {" + b"a:b," * 120_000 + b"}\n" , "c.py": b"x = " + b"a." * 250_000 + b"a\n"}},
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_POINTERS)
def test_a_bad_pointer_is_refused_keeps_the_old_version_and_holds_nobody_back(
    case: str, tmp_path: Path, memory: Memory
):
    old = publish(memory, GOOD)
    publish(memory, GOOD, "finance")
    sync = syncer(tmp_path / "dags", memory)
    assert sync.poll()
    hand_make(memory, previous=old, **BAD_POINTERS[case])
    publish(memory, {"a.py": b"new = 1\n"}, "finance")
    sync.poll()
    assert action(sync) == "refused" and reason(sync)
    assert served(tmp_path / "dags") == GOOD
    assert served(tmp_path / "dags", "finance") == {"a.py": b"new = 1\n"}
    assert sync.ready and sync.failures == 0


@pytest.mark.parametrize("case", BAD_MANIFESTS)
def test_a_bad_version_is_refused_and_the_one_before_served_by_old_and_new_pods(
    case: str, tmp_path: Path, memory: Memory
):
    """What is served is a function of the bucket alone; nothing is written outside of the root."""
    old = publish(memory, GOOD)
    publish(memory, GOOD, "finance")
    pod = tmp_path / "old" / "volume" / "dags"
    sync = syncer(pod, memory)
    assert sync.poll()
    before = snapshot(tmp_path, without=pod)
    hand_make(memory, previous=old, **BAD_MANIFESTS[case])
    publish(memory, {"a.py": b"new = 1\n"}, "finance")
    sync.poll()
    assert (action(sync), sync.packages["sales"].version) == ("refused", old), reason(sync)
    assert served(pod) == GOOD
    assert served(pod, "finance") == {"a.py": b"new = 1\n"}
    assert sync.ready
    assert snapshot(tmp_path, without=pod) == before
    fresh = tmp_path / "new" / "volume" / "dags"
    again = syncer(fresh, memory)
    again.poll()
    assert served(fresh) == GOOD and again.ready
    assert leftovers(pod) == leftovers(fresh) == [], "a refused version must not fill the volume"


UNUSABLE = {
    "up": "../escaped.py", "up and up": "p/../../../../escaped.py", "absolute": "/tmp/escaped.py", "empty part": "a//b.py", "dot": "./a.py",
    "folder": "sub/", "empty": "", "tab": "a\tb.py", "control": "a\x01.py", "line break": "a\nb.py", "NUL": "a\0b.py",
    "300 characters": "n" * 300 + ".py", "255 bytes in 87 characters": "漢" * 84 + ".py", "513 bytes": "d/" * 255 + "abc.py", "hidden": ".git/config", "store": ".store/x.py", "backslash": "..\\a.py",
    "cache": "__pycache__/a.pyc", "blank at the end": "a.py ", "surrogate": "\ud800.py", "ignore file as folder": ".airflowignore/a.py",
    "line separator": "a\u2028b.py", "right to left": "a\u202ebc.py",
}  # fmt: skip


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_path_that_could_leave_the_folder_is_refused_in_a_manifest(case: str, tmp_path: Path, memory: Memory):
    old = publish(memory, GOOD)
    root = tmp_path / "volume" / "dags"
    sync = syncer(root, memory)
    sync.poll()
    before = snapshot(tmp_path, without=root)
    hand_make(memory, {UNUSABLE[case]: b"evil = 1\n"}, previous=old)
    sync.poll()
    assert action(sync) == "refused" and served(root) == GOOD
    assert snapshot(tmp_path, without=root) == before


@pytest.mark.parametrize(
    "files", [{"a": b"1", "a/b": b"2"}, {"a.py": b"1", "A.py": b"2"}, {"Lib/a": b"1", "lib/b": b"2"}], ids=str
)
def test_names_that_clash_on_a_file_system_are_refused(files: dict[str, bytes], tmp_path: Path, memory: Memory):
    hand_make(memory, files)
    sync = syncer(tmp_path, memory)
    sync.poll()
    assert action(sync) == "refused" and served(tmp_path) is None and sync.ready


def test_unicode_blanks_and_long_names_within_the_limits_are_delivered(tmp_path: Path, memory: Memory):
    files = {"größe/データ.py": b"x = 1\n", "a b.sql": b"", "n" * 190 + ".py": b"", "d/" * 250 + "a.txt": b""}
    publish(memory, files)
    sync = syncer(tmp_path, memory)
    sync.poll()
    assert served(tmp_path) == files, reason(sync)


@pytest.mark.parametrize("name", ["", "..", "Sales", "a", "sales.eu", "_x", "sales/sub", "x" * 50, "größe", ".store"])
def test_a_pointer_with_an_unusable_name_makes_no_folder_and_fails_nobody(name: str, tmp_path: Path, memory: Memory):
    """A folder made in a console is an object `pointers/dev/`; it must not fail each init container."""
    root = tmp_path / "volume" / "dags"
    publish(memory, GOOD)
    write(memory, f"pointers/dev/{name}.json" if name else "pointers/dev/", b"{}")
    sync = syncer(root, memory)
    assert sync.poll() and sync.ready
    assert sorted(p.name for p in root.iterdir()) == [".airflowignore", ".links", ".store", "sales"]
    assert sync.poll() and sync.counts["noop"] == 1, "the second poll must have nothing to do"


@pytest.mark.parametrize("key", ["pointers/dev/sub/sales.json", "pointers/dev/sales", "pointers/dev/sales.json/x.json"])
def test_an_object_beside_the_pointers_is_not_taken_for_one(key: str, tmp_path: Path, memory: Memory):
    """Taken for the pointer of `sales`, its other ETag would have the package read again in every poll."""
    publish(memory, GOOD)
    write(memory, key, b"another document")
    sync = syncer(tmp_path, memory)
    assert sync.poll() and sync.poll()
    assert sync.counts["noop"] == 1 and served(tmp_path) == GOOD and set(sync.packages) == {"sales"}


def checker_that_dies(folder: Path, number: signal.Signals) -> Path:
    """A check that a signal ends at a.py."""
    checker = folder / "checker.py"
    checker.write_text(
        f"import os, sys\nsys.stderr.write('a.py')\nsys.stderr.flush()\nos.kill(os.getpid(), {int(number)})\n"
    )
    return checker


@pytest.mark.parametrize(
    ("number", "why", "for_good"),
    [
        (signal.SIGKILL, "a.py: the check was ended (status -9)", False),  # by the kernel, for the memory of somebody
        (signal.SIGXCPU, "a.py: the check was ended (status -24)", False),  # by its limit of time
        (signal.SIGSEGV, "a.py: does not compile: it ended the compiler (status -11)", True),  # by the content
    ],
)
def test_a_check_that_dies_accepts_nothing_and_refuses_for_good_only_what_crashed_it(
    number: signal.Signals, why: str, for_good: bool, tmp_path: Path, memory: Memory, monkeypatch: pytest.MonkeyPatch
):
    publish(memory, GOOD)
    sync = syncer(tmp_path / "dags", memory)
    sync.poll()
    with monkeypatch.context() as dying:
        dying.setattr(dag_contents, "CHECKER", checker_that_dies(tmp_path, number))
        publish(memory, {"a.py": b"x = 2\n"})
        sync.poll()
    assert action(sync) == "refused" and why in reason(sync) and served(tmp_path / "dags") == GOOD
    look_again(sync)
    sync.poll()
    assert served(tmp_path / "dags") == (GOOD if for_good else {"a.py": b"x = 2\n"})


def test_five_bad_versions_in_a_row_fall_back_alike_and_a_sixth_keeps_what_a_pod_has(tmp_path: Path, memory: Memory):
    last = publish(memory, GOOD)
    old = syncer(tmp_path / "old", memory)
    old.poll()
    for n in range(protocol.MAX_FALLBACKS):
        last = hand_make(memory, {"a.py": b"def (%d" % n}, previous=last)
    old.poll()
    fresh = syncer(tmp_path / "fresh", memory)
    fresh.poll()
    assert served(tmp_path / "old") == served(tmp_path / "fresh") == GOOD
    hand_make(memory, {"a.py": b"def ("}, previous=last)
    old.poll()
    assert served(tmp_path / "old") == GOOD and old.packages["sales"].action == "refused"


def test_a_fallback_gives_way_to_the_next_good_version(tmp_path: Path, memory: Memory):
    bad = hand_make(memory, {"a.py": b"def ("}, previous=publish(memory, GOOD))
    sync = syncer(tmp_path, memory)
    sync.poll()
    assert served(tmp_path) == GOOD
    hand_make(memory, {"a.py": b"z = 3\n"}, previous=bad)
    sync.poll()
    assert served(tmp_path) == {"a.py": b"z = 3\n"} and action(sync) == "delivered"


def test_a_file_cannot_pass_a_limit_under_another_name_of_equal_bytes(tmp_path: Path, memory: Memory):
    """Files of equal bytes are fetched once; each must have its own size."""
    big = b"# " + b"x" * protocol.MAX_PYTHON_BYTES + b"\n"
    last = hand_make(memory, {"data.txt": big})
    sync = syncer(tmp_path, memory)
    sync.poll()
    assert action(sync) == "delivered"
    rows = json.loads(memory.get(protocol.manifest_key("dev", "sales", last), 1 << 20)[0])["files"]
    hand_make(memory, {}, previous=last, manifest_changes={"files": [*rows, {**rows[0], "path": "b.py", "size": 0}]})
    sync.poll()
    assert action(sync) == "refused", "512 KiB of Python are the limit, whatever the manifest says"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["..", "/", "../x", "null", VERSION]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
POINTER = {"schema": 1, "environment": "dev", "package": "sales", "version": VERSION, "manifest_sha256": "0" * 64, "previous": [{"version": VERSION, "manifest_sha256": "0" * 64}],
           "live_versions": [VERSION], "removed": False, "updated": "", "nonce": ""}  # fmt: skip
MANIFEST = {"schema": 1, "environment": "dev", "package": "sales", "version": VERSION, "files": [{"path": "a.py", "version_id": "v", "etag": "e", "size": 6, "sha256": "0" * 64}],
            "kind": "publish", "previous": None, "of": None, "created": "", "publisher": "", "source": ""}  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, document: dict[str, Any]) -> bytes:
    """A valid document with some values replaced, at any depth, or its bytes changed."""
    copy = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        at = copy
        while True:
            key = draw(st.sampled_from(sorted(at))) if isinstance(at, dict) else draw(st.integers(0, len(at) - 1))
            if not (isinstance(at[key], dict | list) and at[key] and draw(st.booleans())):
                break
            at = at[key]
        at[key] = draw(JSON)
    data = json.dumps(copy).encode()
    if draw(st.integers(0, 9)) == 0:
        cut = draw(st.integers(0, len(data)))
        data = data[:cut] + draw(st.binary(max_size=3)) + data[cut + 1 :]
    return data


@settings(max_examples=400, deadline=None)
@given(data=mutated(POINTER))
def test_any_pointer_is_read_or_refused(data: bytes):
    try:
        pointer = protocol.decode_pointer(data, "dev", "sales")
    except ProtocolError:
        return
    assert protocol.decode_pointer(pointer.encode(), "dev", "sales") == pointer


@settings(max_examples=400, deadline=None)
@given(data=mutated(MANIFEST))
def test_any_manifest_is_read_or_refused(data: bytes):
    try:
        manifest = protocol.decode_manifest(data, "dev", "sales", VersionRef(VERSION, protocol.sha256(data)))
    except ProtocolError:
        return
    again = manifest.encode()
    assert protocol.decode_manifest(again, "dev", "sales", VersionRef(VERSION, protocol.sha256(again))) == manifest


@pytest.mark.parametrize("field", ["files", "kind", "previous", "of", "created", "environment", "schema", "version"])
def test_nesting_of_any_depth_is_refused(field: str):
    for depth in (10, 300, 900, 990, 1200, 1500, 2000, 5000, 50_000):
        data = deep(field, depth)
        with pytest.raises(ProtocolError):
            protocol.decode_manifest(data, "dev", "sales", VersionRef(VERSION, protocol.sha256(data)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pointer=mutated(POINTER), manifest=mutated(MANIFEST))
def test_any_documents_leave_the_folders_around_the_root_alone(
    pointer: bytes, manifest: bytes, tmp_path_factory: pytest.TempPathFactory
):
    folder = tmp_path_factory.mktemp("fuzz")
    root = folder / "volume" / "dags"
    store = Memory()
    write(store, "dev/sales/dags/a.py", b"x = 1\n")
    hand_make(store, manifest_bytes=manifest, pointer_changes={"version": VERSION, "live_versions": [VERSION]})
    write(store, protocol.manifest_key("dev", "sales", VERSION), manifest)
    hand_make(store, package="finance", pointer_bytes=pointer)
    sync = syncer(root, store)
    before = snapshot(folder, without=root)
    sync.poll()
    assert snapshot(folder, without=root) == before
    assert {p.name for p in root.iterdir()} <= {".airflowignore", ".links", ".store", "sales"}
