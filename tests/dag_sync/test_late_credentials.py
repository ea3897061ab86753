"""A process that starts before its credentials are there takes them when they come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dag_store import NoCredentials, S3Store
from scripts.local.packages import publish
from scripts.local.s3_servers import KEYS, S3Server
from tests.helpers.dag_sync import Process

ONE = {"a.py": b"x = 1\n"}


def test_dag_sync_comes_up_by_itself(moto: S3Server, bucket: S3Store, dag_sync: Callable[..., Process], tmp_path: Path):
    """The agent of Pod Identity, or the token of a service account, was away when it began: it ended."""
    publish(bucket, ONE)
    file = tmp_path / "credentials"
    nothing = {name: "" for name in KEYS if name != "AWS_DEFAULT_REGION"}
    process = dag_sync(moto.endpoint, bucket.bucket, AWS_SHARED_CREDENTIALS_FILE=str(file), **nothing)
    process.wait(lambda: "no AWS credentials" in process.text, "the log says what is missing")
    assert process.serves() is None
    keys = "\n".join(f"{name.lower()} = {value}" for name, value in KEYS.items() if name != "AWS_DEFAULT_REGION")
    file.write_text(f"[default]\n{keys}\n")
    process.wait_until_served(ONE)


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere/token", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r"},
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/v1",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nowhere/token",
        },
        {"AWS_PROFILE": "nobody"},
        {"AWS_ACCESS_KEY_ID": "half"},
        {},
    ],
    ids=["web identity", "pod identity", "profile", "half a key", "nothing"],
)
def test_each_way_of_having_none_is_one_kind_of_error(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, moto: S3Server
):
    """Field report 9: tracebacks, and three different exit codes."""
    for name in (*KEYS, "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(NoCredentials):
        S3Store("bucket", moto.endpoint).listing("pointers/dev/")
