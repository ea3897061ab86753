"""What a user can cause ends with its exit code and one sentence, and what was live still is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import dag_package
import dag_protocol as protocol
from dag_store import S3Store
from scripts.local.fake_aws import FakeAWS
from scripts.local.fault_proxy import FaultProxy, Seen
from scripts.local.packages import hand_make, publish, session
from scripts.local.s3_servers import S3Server
from scripts.local.waiting import wait_for
from scripts.pinned import ROOT
from tests.publisher.conftest import Command

SALES = ("--package-name", "sales")
ONE, TWO = {"a.py": b"x = 1\n", "b.py": b"y = 1\n"}, {"a.py": b"x = 2\n", "c.py": b"z = 2\n"}
COMMANDS = {
    "publish": ("publish", *SALES, "--no-validate", "--dags-dir"), "versions": ("versions", *SALES), "show": ("show", *SALES),
    "list": ("list",), "diff": ("diff", *SALES), "rollback": ("rollback", *SALES), "restore": ("restore", *SALES),
    "remove": ("remove", *SALES, "--yes"), "repair": ("repair", *SALES), "adopt": ("adopt",),
}  # fmt: skip


@pytest.fixture
def words(tmp_path: Path) -> Callable[[str], list[str]]:
    """A command line that would write something."""
    (tmp_path / "dags").mkdir()
    for path, data in TWO.items():
        (tmp_path / "dags" / path).write_bytes(data)
    return lambda name: [*COMMANDS[name], *([str(tmp_path / "dags")] if name == "publish" else [])]


Words = Callable[[str], list[str]]


def live(bucket: S3Store) -> dict[str, bytes]:
    manifest = dag_package.read_live(session(bucket)).manifest
    assert manifest
    return {f.path: bucket.get("dev/sales/dags/" + f.path, 1 << 20, f.version_id)[0] for f in manifest.files}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_bucket(name: str, command: Command, words: Words, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_PLATFORM_BUCKET", "no-such-bucket")
    command(*words(name)).failed(4, "no such bucket", "s3://no-such-bucket/dev/")


@pytest.mark.parametrize("name", COMMANDS)
def test_no_credentials(name: str, command: Command, words: Words, monkeypatch: pytest.MonkeyPatch):
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(variable)
    command(*words(name)).failed(3, "no AWS credentials", "nobody")


@pytest.mark.parametrize("name", COMMANDS)
def test_no_network(name: str, command: Command, words: Words, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda _: None)
    command(*words(name)).failed(7, "no answer")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_login_page_in_the_place_of_s3(
    name: str, command: Command, words: Words, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
):
    proxy.fault = lambda _: "html"
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    done = command(*words(name))
    assert done.code in (4, 7) and "Traceback" not in done.err and len(done.err.splitlines()) <= 2, done.err


@pytest.mark.parametrize("name", ["publish", "rollback", "restore", "remove", "repair", "adopt"])
def test_versioning_suspended(name: str, command: Command, words: Words, bucket: S3Store):
    publish(bucket, ONE)
    bucket.client.put_bucket_versioning(Bucket=bucket.bucket, VersioningConfiguration={"Status": "Suspended"})
    command(*words(name)).failed(4, "suspended", "enable it")


@pytest.mark.parametrize("name", ["versions", "show", "diff", "rollback", "restore", "remove", "repair"])
def test_no_such_package(name: str, command: Command, words: Words):
    command(*words(name)).failed(5, "sales", "dev")


@pytest.mark.parametrize("name", ["list", "adopt"])
def test_no_such_environment(name: str, command: Command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_PLATFORM_ENV", "deb")
    done = command(name)
    assert done.code in (1, 4) and "Traceback" not in done.err and "deb" in done.err


@pytest.mark.parametrize("name", COMMANDS)
def test_wrong_names(name: str, command: Command, words: Words, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AIRFLOW_PLATFORM_ENV", "../x")
    command(*words(name)).failed(1, "'../x'", "not usable")


@pytest.mark.parametrize("words", [["nonsense"], ["publish"], ["publish", *SALES], ["publish", *SALES, "--no-validate", "--dags-dir", "/no/such/folder"],
                                   ["show"], ["diff", *SALES, "a", "b", "c"], ["list", "--output", "xml"]], ids=" ".join)  # fmt: skip
def test_wrong_use(words: list[str], command: Command, bucket: S3Store):
    publish(bucket, ONE)
    done = command(*words)
    assert done.code == 2 and "Traceback" not in done.err and done.err


def test_versions_that_never_were(command: Command, bucket: S3Store):
    publish(bucket, ONE)
    for name in ("show", "diff"):
        command(name, *SALES, "20260101T000000Z-00000000").failed(5, "never live")
        command(name, *SALES, "yesterday").failed(5, "'yesterday'")
    command("rollback", *SALES, "--to", "20260101T000000Z-00000000").failed(5, "never live")


def test_expired_bytes_of_an_old_version(command: Command, bucket: S3Store):
    old = publish(bucket, ONE)
    publish(bucket, TWO)
    for version in bucket.past("dev/sales/dags/a.py"):
        if not version.latest:
            bucket.client.delete_object(Bucket=bucket.bucket, Key=version.key, VersionId=version.version_id)
    before = live(bucket)
    command("rollback", *SALES, "--to", old).failed(5, "a.py", "expired or deleted", "newer version")
    assert live(bucket) == before


def test_a_damaged_pointer_or_manifest(command: Command, words: Words, bucket: S3Store):
    hand_make(bucket, manifest_bytes=b"{")
    for name in ("publish", "show", "rollback", "repair"):
        command(*words(name)).failed(1, "the manifest is not JSON")
    hand_make(bucket, pointer_bytes=b"{")
    for name in ("publish", "show", "rollback", "repair"):
        command(*words(name)).failed(1, "the pointer is not JSON")


def test_files_that_delivery_cannot_take(command: Command, tmp_path: Path, bucket: S3Store):
    for number, (path, data) in enumerate(
        {"big.py": b"#" * (protocol.MAX_PYTHON_BYTES + 1), "z.csv": b"PK\x05\x06" + b"\0" * 18}.items()
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / path).write_bytes(data)
        done = command("publish", *SALES, "--no-validate", "--dags-dir", str(folder))
        done.failed(1, path)
    assert bucket.listing("dev/") == {}


def test_a_lost_race(
    command: Command, words: Words, proxy: FaultProxy, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
):
    publish(bucket, ONE)
    other: list[str] = []

    def overtake(seen: Seen) -> None:
        if seen.method == "PUT" and "/manifests/" in seen.path and not other:
            other.append(publish(bucket, {"a.py": b"x = 'other'\n"}))

    proxy.fault = overtake  # type: ignore[assignment]
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    command(*words("publish")).failed(6, other[0] if other else "became live first", "by test", "run the command again")
    assert live(bucket) == {"a.py": b"x = 'other'\n"}
    proxy.forget()
    assert command(*words("publish")).code == 0 and live(bucket) == TWO


def test_the_answer_to_the_commit_lost_is_success(
    command: Command, words: Words, proxy: FaultProxy, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
):
    """Its retry meets what the first try wrote."""
    publish(bucket, ONE)
    lost: list[int] = []

    def lose(seen: Seen):
        if seen.method == "PUT" and "/pointers/" in seen.path and not lost:
            lost.append(1)
            return "lose"
        return None

    proxy.fault = lose
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    done = command(*words("publish"))
    assert done.code == 0, done.err
    assert lost and live(bucket) == TWO


def test_no_answer_to_the_commit_at_all_is_said_as_unknown(
    command: Command, words: Words, proxy: FaultProxy, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
):
    publish(bucket, ONE)
    down: list[int] = []

    def lose(seen: Seen):
        if seen.method == "PUT" and "/pointers/" in seen.path:
            down.append(1)
            return "lose"
        return "drop" if down else None

    proxy.fault = lose
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    monkeypatch.setattr("time.sleep", lambda _: None)
    command(*words("publish")).failed(8, "may be live or not", "show")


@pytest.mark.parametrize("fault", ["500", "403", "reset", "drop"])
def test_a_failing_upload_leaves_what_was_live(
    fault: str, command: Command, words: Words, proxy: FaultProxy, bucket: S3Store, monkeypatch: pytest.MonkeyPatch
):
    publish(bucket, ONE)
    proxy.fault = lambda seen: fault if seen.method == "PUT" and seen.path.endswith("c.py") else None  # type: ignore[return-value]
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    monkeypatch.setattr("time.sleep", lambda _: None)
    command(*words("publish")).failed(3 if fault == "403" else 7, "c.py")
    assert live(bucket) == ONE
    proxy.forget()
    assert command(*words("publish")).code == 0 and live(bucket) == TWO


@pytest.mark.parametrize(("fault", "code"), [("500", 7), ("drop", 7), ("403", 3)])
def test_a_manifest_that_cannot_be_put_is_told_as_that(
    fault: str,
    code: int,
    command: Command,
    words: Words,
    proxy: FaultProxy,
    bucket: S3Store,
    monkeypatch: pytest.MonkeyPatch,
):
    """Adversary 16: exit code 5, "does not exist", of what was just not written."""
    publish(bucket, ONE)
    proxy.fault = lambda seen: fault if seen.method == "PUT" and "/manifests/" in seen.path else None  # type: ignore[return-value]
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    monkeypatch.setattr("time.sleep", lambda _: None)
    command(*words("publish")).failed(code, "cannot write manifests/")
    assert live(bucket) == ONE


# --- IAM ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeAWS]:
    with FakeAWS(tmp_path_factory.mktemp("iam") / "server.log") as aws:
        s3 = aws.client("s3", aws.admin)
        s3.create_bucket(Bucket="guarded", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        s3.put_bucket_versioning(Bucket="guarded", VersioningConfiguration={"Status": "Enabled"})
        s3.put_object(Bucket="guarded", Key=protocol.marker_key("dev"), Body=b"{}")
        yield aws


def test_denied_tells_who_and_where(aws: FakeAWS, command: Command, words: Words, point_at: Callable[..., None]):
    reader = aws.create_user("reader-only", "s3:Get*", "s3:List*", "sts:GetCallerIdentity")
    point_at(reader, "guarded")
    command(*words("publish")).failed(3, "access denied", "s3://guarded/dev/sales/", "reader-only")
    point_at(aws.create_user("nothing-at-all"), "guarded")
    command(*words("show")).failed(3, "access denied")


# --- interrupted --------------------------------------------------------------------------------------------------


def start(proxy: FaultProxy, bucket: S3Store, moto: S3Server, words: list[str]) -> subprocess.Popen[str]:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PYTHONPATH": str(ROOT / "charts/airflow-platform/files"), **moto.environment, "AWS_ENDPOINT_URL": proxy.endpoint,
           "AIRFLOW_PLATFORM_BUCKET": bucket.bucket, "AIRFLOW_PLATFORM_ENV": "dev"}  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-m", "airflow_dag_publisher", *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in what a shell runs in the background
    )  # fmt: skip


def test_an_interrupt_ends_with_130_at_once_and_the_old_version_is_live(
    proxy: FaultProxy, bucket: S3Store, moto: S3Server, words: Words
):
    """A server that hangs must not hold the user back: three tries of twenty seconds each."""
    publish(bucket, ONE)
    proxy.fault = lambda seen: "hang" if seen.method == "PUT" and seen.path.endswith(".py") else None
    process = start(proxy, bucket, moto, words("publish"))
    try:
        wait_for(lambda: any(s.method == "PUT" for s in proxy.seen))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130 and "interrupted; what was live still is" in err and "Traceback" not in err
    finally:
        process.kill()
        process.wait()
    assert live(bucket) == ONE
