"""A bucket's whole content in a folder, and a bucket emptied of nothing else: on two real servers."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

import dag_protocol as protocol
from dag_store import S3Store
from scripts.local.fault_proxy import Fault, FaultProxy, Seen
from scripts.local.memory_store import MARKER
from scripts.local.packages import hand_make, publish, session, write
from scripts.local.s3_servers import KEYS, S3Server
from scripts.manage.bucket_export import bucket
from scripts.manage.bucket_export.__main__ import main
from scripts.pinned import ROOT

FIRST = {"a.py": b"x = 1\n", "lib/b.sql": b"select 1\n"}
SECOND = {"a.py": b"x = 2\n", "empty.txt": b""}
Do = Callable[..., "Done"]


@dataclass
class Done:
    """What a command did."""

    code: int
    out: str
    err: str

    def ok(self) -> Done:
        assert self.code == 0, self.err
        return self

    def failed(self, code: int, *words: str) -> None:
        """Assert one sentence on standard error that has all the words."""
        assert self.code == code and self.out == "", self
        assert self.err.startswith("manage.sh: ") and self.err.count("\n") == 1 and self.err.endswith(".\n"), self.err
        for word in words:
            assert word in self.err, self.err


@dataclass
class Place:
    """A bucket and the commands on it, as manage.sh calls them."""

    store: S3Store
    do: Do
    server: str
    folder: Path

    def count(self) -> int:
        return int(self.do("count", *self.options).ok().out)

    def export(self, folder: Path | None = None) -> Done:
        return self.do("export", *self.options, str(folder or self.folder))

    def empty(self, folder: Path | None = None) -> Done:
        return self.do("empty", *self.options, "--exported", str(folder or self.folder))

    @property
    def options(self) -> tuple[str, ...]:
        return ("--bucket", self.store.bucket, "--region", "us-east-1", "--environment", "dev")

    @property
    def index(self) -> dict[tuple[str, str], Any]:
        lines = map(json.loads, (self.folder / "index.jsonl").read_text().splitlines())
        return {(line["key"], line["version_id"]): line for line in lines}

    def file(self, sha256: str) -> Path:
        return self.folder / "objects" / sha256[:2] / sha256

    def history(self) -> set[tuple[str, str, bool, bool]]:
        """Every version in the bucket."""
        return {(v.key, v.version_id, v.latest, v.deleted) for v in self.store.past("")}


@pytest.fixture(scope="module")
def remembered() -> boto3.Session:
    """One for all tests: each that is made reads a megabyte of definitions."""
    key, secret = KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"]
    return boto3.Session(aws_access_key_id=key, aws_secret_access_key=secret)


@pytest.fixture
def do(remembered: boto3.Session, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> Iterator[Do]:
    """Runs a command in this process."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", remembered)
    mask = os.umask(0o022)

    def run(*words: str) -> Done:
        capfd.readouterr()
        return Done(main(list(words)), *capfd.readouterr())

    yield run
    os.umask(mask)


@pytest.fixture
def place_on(
    do: Do, new_bucket: Callable[[S3Server], S3Store], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Place]:
    """A fresh bucket on a server; `through`: as the commands reach it."""

    def make(server: S3Server, through: str = "") -> Place:
        for name, value in {**server.environment, "AWS_ENDPOINT_URL": through or server.endpoint}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("AWS_PROFILE", raising=False)
        return Place(new_bucket(server), do, server.name, tmp_path / "out")

    return make


@pytest.fixture(params=["moto", "gateway"])
def place(request: pytest.FixtureRequest, place_on: Callable[..., Place]) -> Place:
    """A fresh bucket with the marker, on each server."""
    return place_on(request.getfixturevalue(request.param))


@pytest.fixture
def far(moto: S3Server, proxy: FaultProxy, place_on: Callable[..., Place]) -> Place:
    """A fresh bucket that the commands reach by the proxy alone."""
    return place_on(moto, proxy.endpoint)


def used(store: S3Store) -> None:
    """A bucket as after months: versions, a file that left, a rollback's same bytes, logs, an edit by hand."""
    publish(store, FIRST)
    publish(store, SECOND)
    publish(store, FIRST)
    publish(store, {"c.py": b"y = 1\n"}, "other")
    write(store, "logs/dev/dag_id=a/attempt=1.log", b"log\n")


# --- export ---------------------------------------------------------------------------------------------------


def test_every_version_and_delete_marker_is_exported(place: Place) -> None:
    used(place.store)
    done = place.export().ok()
    history = place.history()
    assert {(*id, line["is_latest"], line["delete_marker"]) for id, line in place.index.items()} == history
    assert any(deleted for *_, deleted in history) and done.err == "" and done.out.count("\n") == 1
    for (key, version_id), line in place.index.items():
        if line["delete_marker"]:
            continue
        answer = place.store.client.get_object(Bucket=place.store.bucket, Key=key, VersionId=version_id)
        data = answer["Body"].read()
        assert place.file(line["sha256"]).read_bytes() == data and line["size"] == len(data)
        assert hashlib.sha256(data).hexdigest() == line["sha256"]
        told = (line["etag"], line["metadata"], line["content_type"])
        assert told == (answer["ETag"], answer["Metadata"], answer["ContentType"])
    assert any(line["metadata"].get(protocol.TAG) for line in place.index.values())
    document = json.loads((place.folder / "export.json").read_text())
    assert document["bucket"] == place.store.bucket and document["environment"] == "dev"
    assert document["versions"] + document["delete_markers"] == len(history)
    assert f"{document['versions']} versions and {document['delete_markers']} delete markers" in done.out
    index = (place.folder / "index.jsonl").read_bytes()
    assert document["index_sha256"] == hashlib.sha256(index).hexdigest()


def test_nobody_else_may_read_the_export_and_nothing_unfinished_is_left(place: Place) -> None:
    used(place.store)
    place.export().ok()
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [place.folder, *place.folder.rglob("*")]}
    assert {path: mode for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)} == {}
    assert {path.name for path in place.folder.iterdir()} == {"export.json", "index.jsonl", "objects", "live"}


def test_the_live_trees_can_be_published(place: Place, new_bucket: Any, moto: S3Server) -> None:
    used(place.store)
    place.export().ok()
    live = place.folder / "live"
    trees = {
        package: {str(f.relative_to(root)): f.read_bytes() for f in root.rglob("*") if f.is_file()}
        for package in ("sales", "other")
        for root in [live / package / "dags"]
    }
    assert trees == {"sales": FIRST, "other": {"c.py": b"y = 1\n"}}
    again = new_bucket(moto)
    command = ["publish", "--package-name", "sales", "--dags-dir", str(live / "sales" / "dags"), "--no-validate"]
    where = {**moto.environment, "AIRFLOW_PLATFORM_BUCKET": again.bucket, "AIRFLOW_PLATFORM_ENV": "dev"}
    subprocess.run(
        [sys.executable, "-m", "airflow_dag_publisher", *command], env={**os.environ, **where}, check=True,
        capture_output=True,
    )  # fmt: skip
    files = {key: again.get(key, 100)[0] for key in again.listing("dev/sales/dags/")}
    assert files == {f"dev/sales/dags/{path}": data for path, data in FIRST.items()}


def test_what_can_be_run_can_be_run_in_the_live_tree(place: Place) -> None:
    publish(place.store, {"run.sh": b"#!/bin/sh\n", "same.sh": b"#!/bin/sh\n"}, executable={"run.sh"})
    place.export().ok()
    dags = place.folder / "live" / "sales" / "dags"
    assert [os.access(dags / name, os.X_OK) for name in ("run.sh", "same.sh")] == [True, False]


@pytest.mark.parametrize("name", ["", "..", "../objects", "{victim}", "sales/../../objects"])
def test_a_pointer_with_an_unusable_name_takes_nothing_away(
    name: str, moto: S3Server, place_on: Callable[..., Place], tmp_path: Path
) -> None:
    """Whoever may write a pointer by hand must not reach the operator's disk."""
    place, victim = place_on(moto), tmp_path / "victim"
    used(place.store)
    victim.mkdir()
    (victim / "precious").write_text("x")
    write(place.store, "pointers/dev/" + name.format(victim=victim) + ".json", b"{")
    assert "not usable" in place.export().ok().err
    assert (victim / "precious").exists() and len(place.index) == len(place.history())
    assert {path.name for path in (place.folder / "live").iterdir()} == {"sales", "other"}
    place.export().ok()


def test_a_removed_package_has_no_live_tree_and_a_damaged_one_is_told(place: Place) -> None:
    from airflow_dag_publisher import publishing

    used(place.store)
    publish(place.store, FIRST, "gone")
    place.export().ok()
    assert (place.folder / "live/gone/dags/a.py").exists()
    publishing.remove(session(place.store, "gone"))
    hand_make(place.store, package="broken", pointer_bytes=b"{")
    hand_make(place.store, package="pathless", file_changes={"path": "../../../evil.py"})
    hand_make(place.store, package="lacking", file_changes={"sha256": "0" * 64})
    write(place.store, "pointers/dev/Not-A-Package.txt", b"?")
    write(place.store, "pointers/dev/sales", place.store.get("pointers/dev/sales.json", 1 << 20)[0])
    done = place.export().ok()
    assert {path.name for path in (place.folder / "live").iterdir()} == {"sales", "other"}
    warnings = done.err.splitlines()
    assert len(warnings) == 5 and all(line.startswith("manage.sh: warning: 'pointers/dev/") for line in warnings)
    assert "'pointers/dev/broken.json'" in warnings[1] and "the pointer is not JSON" in warnings[1]
    assert not list(place.folder.parent.rglob("evil.py"))
    assert len(place.index) == len(place.history()), "what cannot be followed is exported all the same"


def test_keys_that_are_no_file_names_are_exported_and_deleted(moto: S3Server, place_on: Callable[..., Place]) -> None:
    place = place_on(moto)
    keys = [
        "../../evil", "dev/../../../evil", "a", "a/b", "a//b", "/abs", "x" * 1000, "é ü+%2F&?#", "ends/", ".",
    ]  # fmt: skip
    for key in keys:
        write(place.store, key, key.encode())
        write(place.store, key, b"same")
    place.export().ok()
    assert {key for key, _ in place.index} == {MARKER, *keys}
    for (key, _), line in place.index.items():
        assert key == MARKER or place.file(line["sha256"]).read_bytes() in (key.encode(), b"same")
    assert {path.name for path in place.folder.parent.iterdir()} == {"out"}
    place.empty().ok()
    assert place.history() == set()


@pytest.mark.exhaustive("manage")
def test_more_than_a_page_of_versions(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    number = 1_040
    if place.server == "moto":  # which takes ten seconds for so many
        number = 104
        monkeypatch.setattr(bucket, "PAGE", 10)

    def one(n: int) -> str:
        return write(place.store, f"logs/dev/{n % (number // 2 + 7):04}", b"%d" % n)

    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(one, range(number)))
    assert place.count() == number == len(ids)
    place.export().ok()
    assert {version_id for key, version_id in place.index if key != MARKER} == ids
    assert f"{number + 1:,} versions and delete markers deleted" in place.empty().ok().out
    assert place.history() == set()


def test_a_killed_export_goes_on_where_it_was(far: Place, proxy: FaultProxy) -> None:
    for n in range(100):
        write(far.store, f"logs/dev/{n}", b"%d" % n)
    command = [sys.executable, "-m", "scripts.manage.bucket_export", "export", *far.options, str(far.folder)]
    killed = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def fault(seen: Seen) -> Fault | None:
        if len(reads(proxy)) > 60:
            killed.send_signal(signal.SIGKILL)
            return "drop"
        return None

    proxy.fault = fault
    assert killed.wait() == -signal.SIGKILL and not (far.folder / "index.jsonl").exists()
    far.empty().failed(1, "is not finished", "run the export again")
    read = len((far.folder / "journal.jsonl").read_text().split())
    proxy.forget()
    far.export().ok()
    assert len(reads(proxy)) <= 61, "what was read is not read again"
    assert read and len(far.index) == 101
    proxy.forget()
    far.export().ok()
    assert reads(proxy) == []
    far.empty().ok()


def test_an_export_reads_again_what_the_folder_lost(far: Place, proxy: FaultProxy) -> None:
    used(far.store)
    far.export().ok()
    before = far.index
    digests = sorted({line["sha256"] for line in before.values() if line["size"] > 1})
    far.file(digests[0]).unlink()
    far.file(digests[1]).write_bytes(b"damaged")
    (far.folder / "index.jsonl").write_bytes((far.folder / "index.jsonl").read_bytes()[:-30])
    proxy.forget()
    far.export().ok()
    assert far.index == before and 2 <= len(reads(proxy)) < 10
    assert all(hashlib.sha256(far.file(d).read_bytes()).hexdigest() == d for d in digests)


def test_what_left_the_bucket_stays_in_the_export(place: Place) -> None:
    used(place.store)
    place.export().ok()
    before = place.index
    key, version_id = "logs/dev/dag_id=a/attempt=1.log", next(v for k, v in before if k.startswith("logs/"))
    place.store.client.delete_object(Bucket=place.store.bucket, Key=key, VersionId=version_id)
    place.export().ok()
    assert place.index == before
    place.file(before[key, version_id]["sha256"]).unlink()
    place.export().failed(1, "is missing or changed", version_id, "into another folder")


def test_what_is_written_while_the_export_runs_is_in_it(far: Place, proxy: FaultProxy) -> None:
    used(far.store)
    late: list[str] = []

    def fault(seen: Seen) -> None:
        if "versionId" in seen.query and not late:
            late.append("")
            late[0] = write(far.store, "logs/dev/dag_id=a/attempt=1.log", b"late")

    proxy.fault = fault
    far.export().ok()
    assert far.index["logs/dev/dag_id=a/attempt=1.log", late[0]]["size"] == 4
    latest = {id: line["is_latest"] for id, line in far.index.items()}
    assert latest == {(key, version_id): latest for key, version_id, latest, _ in far.history()}


def test_other_bytes_than_the_listing_told_of_are_refused(far: Place, proxy: FaultProxy) -> None:
    """The version `null` of a bucket whose versioning was suspended can be overwritten."""
    off = {"Status": "Suspended"}
    far.store.client.put_bucket_versioning(Bucket=far.store.bucket, VersioningConfiguration=off)
    far.store.client.put_object(Bucket=far.store.bucket, Key="x", Body=b"listed")

    def fault(seen: Seen) -> None:
        if seen.query.get("versionId") == ["null"]:
            far.store.client.put_object(Bucket=far.store.bucket, Key="x", Body=b"%06d" % seen.number)

    proxy.fault = fault
    far.export().failed(1, "version null of 'x'", "the listing said 6", "run it again")
    proxy.forget()
    far.export().ok()
    assert len(far.index) == 2


def test_a_bucket_that_does_not_come_to_rest_is_told(far: Place, proxy: FaultProxy) -> None:
    def fault(seen: Seen) -> None:
        if "versions" in seen.query:
            write(far.store, "logs/dev/busy", b"%d" % seen.number)

    proxy.fault = fault
    far.export().failed(1, "somebody is still writing to bucket", "run the export again")
    assert not (far.folder / "index.jsonl").exists()


def test_a_version_that_cannot_be_read_is_named(far: Place, proxy: FaultProxy) -> None:
    used(far.store)
    key = "dev/sales/dags/lib/b.sql"
    proxy.fault = lambda seen: "403" if seen.path.endswith(key) and "versionId" in seen.query else None
    far.export().failed(1, key, "access denied", "kms:Decrypt", "run it again")
    assert not (far.folder / "index.jsonl").exists()
    proxy.fault = lambda seen: "truncate" if seen.path.endswith(key) and "versionId" in seen.query else None
    far.export().failed(1, key, "no answer")
    proxy.fault = lambda seen: "html" if "versions" in seen.query else None
    far.export().failed(1, "cannot list the versions", "the server answered 500")
    proxy.forget()

    def vanish(seen: Seen) -> None:
        if seen.path.endswith(key) and "versionId" in seen.query:
            far.store.client.delete_object(Bucket=far.store.bucket, Key=key, VersionId=seen.query["versionId"][0])

    proxy.fault = vanish
    far.export().failed(1, key, "it does not exist", "somebody deletes meanwhile")
    assert not (far.folder / "index.jsonl").exists()
    proxy.forget()
    far.export().ok()


def test_a_full_disk_is_told(moto: S3Server, place_on: Callable[..., Place]) -> None:
    place = place_on(moto)
    write(place.store, "logs/dev/large", b"x" * 100_000)
    done = subprocess.run(
        [sys.executable, "-m", "scripts.manage.bucket_export", "export", *place.options, str(place.folder)], cwd=ROOT, text=True,
        capture_output=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)), check=False,
    )  # fmt: skip
    Done(done.returncode, done.stdout, done.stderr).failed(1, f"cannot write into {place.folder}", "File too large")
    assert not (place.folder / "index.jsonl").exists()
    place.export().ok()


def test_a_folder_with_something_else_is_refused(moto: S3Server, place_on: Callable[..., Place]) -> None:
    place, other = place_on(moto), place_on(moto)
    place.folder.mkdir()
    (place.folder / "mine.txt").write_text("mine")
    place.export().failed(1, str(place.folder), "is not empty", "name another folder")
    assert [path.name for path in place.folder.iterdir()] == ["mine.txt"]
    place.folder = place.folder.parent / "second"
    place.export().ok()
    other.export(place.folder).failed(1, place.store.bucket, other.store.bucket, "name another folder")
    (place.folder / "export.json").write_text("[]")
    place.export().failed(1, "export.json", "name another folder")


# --- empty ----------------------------------------------------------------------------------------------------


def test_empty_leaves_nothing(place: Place) -> None:
    used(place.store)
    write(place.store, MARKER, b"{}")
    assert place.count() == len(place.history()) - 2 > 0
    place.export().ok()
    assert place.count() > 0, "an export takes nothing away"
    place.empty().ok()
    assert place.history() == set() and place.count() == 0
    place.empty().ok()
    place.store.client.delete_bucket(Bucket=place.store.bucket)


def add_a_version(place: Place, others: Place) -> str:
    return f"lacks 1 of the versions in bucket {place.store.bucket}, version {write(place.store, 'x', b'')} of 'x'"


def change_a_file(place: Place, others: Place) -> str:
    file = max(place.folder.glob("objects/*/*"))
    file.write_bytes(file.read_bytes().swapcase() + b"\n")
    return f"is damaged, 1 of its files missing or changed, the first is {file}"


def delete_a_file(place: Place, others: Place) -> str:
    max(place.folder.glob("objects/*/*")).unlink()
    return "1 of its files missing or changed"


def truncate_the_index(place: Place, others: Place) -> str:
    index = place.folder / "index.jsonl"
    index.write_text("".join(index.read_text().splitlines(keepends=True)[:-1]))
    return "index.jsonl is not as the export wrote it"


def swap_the_bucket(place: Place, others: Place) -> str:
    place.folder = others.folder.parent / "theirs"
    others.export(place.folder).ok()
    return f"is an export of bucket {others.store.bucket}"


def lose_the_document(place: Place, others: Place) -> str:
    (place.folder / "export.json").unlink()
    return "is no export of a bucket"


def claim_another_size(place: Place, others: Place) -> str:
    """The index changed together with the digest that vouches for it."""
    index, about = place.folder / "index.jsonl", place.folder / "export.json"
    lines = [json.loads(line) for line in index.read_text().splitlines()]
    lines[0]["size"] += 1
    index.write_text("".join(json.dumps(line) + "\n" for line in lines))
    document = json.loads(about.read_text())
    about.write_text(json.dumps({**document, "index_sha256": hashlib.sha256(index.read_bytes()).hexdigest()}))
    return "lacks 1 of the versions"


@pytest.mark.parametrize(
    "harm",
    [add_a_version, change_a_file, delete_a_file, truncate_the_index, swap_the_bucket, lose_the_document, claim_another_size],
)  # fmt: skip
def test_an_export_that_is_not_the_buckets_deletes_nothing(
    harm: Callable[[Place, Place], str], moto: S3Server, place_on: Callable[..., Place]
) -> None:
    place, others = place_on(moto), place_on(moto)
    used(place.store)
    place.export().ok()
    words = harm(place, others).split(", ")
    before = place.history()
    place.empty().failed(1, *words, "name another folder" if harm is swap_the_bucket else "again")
    assert place.history() == before


@pytest.mark.parametrize("when", ["before the first deletion", "after the last"])
def test_what_is_written_after_the_comparison_stays_and_is_told(when: str, far: Place, proxy: FaultProxy) -> None:
    used(far.store)
    far.export().ok()
    late: list[str] = []

    def fault(seen: Seen) -> None:
        deletions = len([s for s in proxy.seen if "delete" in s.query])
        listings = len([s for s in proxy.seen if "versions" in s.query])
        compared = deletions > 0 or listings > 1
        if not late and (compared if when.startswith("before") else deletions == 3 and listings > 1):
            late.append("")
            late[0] = write(far.store, "dev/sales/dags/a.py", b"late = 1\n")

    proxy.forget()
    proxy.fault = fault
    far.empty().failed(
        1, "somebody wrote", f"version {late[0]} of 'dev/sales/dags/a.py'", "run `manage.sh export` again"
    )
    marker = {entry for entry in far.history() if entry[0] == MARKER}
    assert far.history() - marker == {("dev/sales/dags/a.py", late[0], True, False)} and marker
    proxy.forget()
    before = far.index
    far.export().ok()
    assert far.index.keys() - before.keys() == {("dev/sales/dags/a.py", late[0])} and before.keys() <= far.index.keys()
    far.empty().ok()
    assert far.history() == set()


def test_at_no_time_does_an_old_version_come_to_light(far: Place, proxy: FaultProxy) -> None:
    """Between two deletions a key has its live object or none: never a version that was live before."""
    used(far.store)
    far.export().ok()
    live = {key: stored.etag for key, stored in far.store.listing("").items()}
    seen_live: list[dict[str, str]] = []

    def fault(seen: Seen) -> None:
        if "delete" in seen.query:
            seen_live.append({key: stored.etag for key, stored in far.store.listing("").items()})

    proxy.fault = fault
    far.empty().ok()
    assert len(seen_live) >= 4
    assert all(moment.items() <= live.items() for moment in seen_live)
    assert seen_live[1] == live, "first what nobody sees"
    assert not [key for key in seen_live[2] if key.startswith("pointers/") and key != MARKER], "then the pointers"


def test_a_version_that_the_server_does_not_delete_is_an_error(far: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    used(far.store)
    far.export().ok()
    before = far.history()
    denied = {"Key": "dev/sales/dags/a.py", "VersionId": "v", "Code": "AccessDenied", "Message": "no"}
    real = boto3.client

    def client(*words: Any, **options: Any) -> Any:
        made = real(*words, **options)
        monkeypatch.setattr(made, "delete_objects", lambda **_: {"Errors": [denied]})
        return made

    monkeypatch.setattr(boto3, "client", client)
    far.empty().failed(1, "cannot delete 1 of ", "'dev/sales/dags/a.py'", "s3:DeleteObjectVersion", "destroy again")
    assert far.history() == before


def test_a_bucket_without_versioning_is_not_emptied(place: Place) -> None:
    used(place.store)
    place.export().ok()
    place.store.client.put_bucket_versioning(
        Bucket=place.store.bucket, VersioningConfiguration={"Status": "Suspended"}
    )  # fmt: skip
    before = place.history()
    place.empty().failed(1, "versioning", "suspended", "enable it")
    assert place.history() == before


def test_the_marker_alone_is_deleted_without_versioning_too(gateway: S3Server, place_on: Callable[..., Place]) -> None:
    """Terraform fails on what is below a delete marker of its object, and has taken the versioning by then."""
    place = place_on(gateway)  # moto answers 500 there
    place.export().ok()
    place.store.client.delete_object(Bucket=place.store.bucket, Key=MARKER)
    place.store.client.put_bucket_versioning(Bucket=place.store.bucket, VersioningConfiguration={"Status": "Suspended"})
    assert place.count() == 0 and len(place.history()) == 2
    place.empty().ok()
    assert place.history() == set()


# --- all of them ----------------------------------------------------------------------------------------------


def test_a_bucket_that_is_not_there_has_a_code_of_its_own(place: Place) -> None:
    used(place.store)
    place.export().ok()
    place.empty().ok()
    place.store.client.delete_bucket(Bucket=place.store.bucket)
    for done in (place.do("count", *place.options), place.export(), place.empty()):
        done.failed(3, "there is no such bucket")
    assert len(place.index) > 10, "the export is as it was"


def test_wrong_use_is_one_sentence(place_on: Callable[..., Place], moto: S3Server) -> None:
    place = place_on(moto)
    place.do("count", "--bucket", "b").failed(2, "Missing option")
    place.do("export", *place.options[:-1], "Not An Environment", "x").failed(2, "environment name")
    place.do("empty", *place.options).failed(2, "--exported")
    place.do("count", "--bucket", "no/bucket", *place.options[2:]).failed(1, "no/bucket")


def test_two_at_once_in_one_folder_are_refused(far: Place, proxy: FaultProxy) -> None:
    write(far.store, "logs/dev/a", b"a")
    seconds: list[int] = []

    def fault(seen: Seen) -> None:
        if "versionId" in seen.query and not seconds:
            seconds.append(0)
            command = [sys.executable, "-m", "scripts.manage.bucket_export", "export", *far.options, str(far.folder)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            seconds[0] = done.returncode
            assert "somebody else is at work" in done.stderr

    proxy.fault = fault
    far.export().ok()
    assert seconds == [1]


def reads(proxy: FaultProxy) -> list[Seen]:
    """The reads of a version that came by."""
    return [seen for seen in proxy.seen if "versionId" in seen.query]
