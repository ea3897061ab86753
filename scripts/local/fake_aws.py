"""A fake AWS on loopback with IAM enforced, for tests and the demo.

    with FakeAWS(log) as aws:
        s3 = aws.client("s3", aws.assume(role_arn))     # what a role may do
        subprocess.run(["terraform", ...], env={**os.environ, **aws.admin})

It is moto's server (fake_aws_server.py says what is mended), with two traits to know: every Condition is ignored (an
Allow with one allows, a Deny with one denies nothing), and a wrong or unknown key is answered with 500 instead of 403.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from botocore.config import Config

Credentials = dict[str, str]
"""Environment variables that make any AWS tool act as somebody on this server."""

SERVER = Path(__file__).with_name("fake_aws_server.py")
ADMINISTRATOR = "administrator"  # named as publisher and reader in terraform/environments/demo.tfvars
REGION = "eu-central-1"
START_SECONDS = 180


class FakeAWS:
    """One moto server in a process of its own, and its administrator."""

    endpoint: str
    admin: Credentials

    def __init__(self, log: Path, region: str = REGION) -> None:
        self._log = log
        self._region = region  # decides the partition: its administrator is nobody in another one

    def __enter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            self._server = subprocess.Popen(
                [sys.executable, "-P", str(SERVER), "-H", "127.0.0.1", "-p", "0"],
                stdout=log,
                stderr=subprocess.STDOUT,
                # Three calls are free; the administrator is made of them, and from then on IAM decides.
                env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "3"},
            )
        try:
            self.endpoint = self._wait_for_endpoint()
            self.admin = self._create_administrator()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server; what was in it is gone."""
        self._server.terminate()
        try:
            self._server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def credentials(self, key: str, secret: str, token: str = "") -> Credentials:
        """The environment of somebody with these keys."""
        return {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            # Empty rather than absent: a token of the caller's own shell would be sent with the keys above.
            "AWS_SESSION_TOKEN": token,
            "AWS_DEFAULT_REGION": self._region,
            "AWS_ENDPOINT_URL": self.endpoint,
        }

    def assume(self, role_arn: str, caller: Credentials | None = None) -> Credentials:
        """The environment of somebody who has taken this role; its trust must name the caller, else the administrator."""
        sts = self.client("sts", caller or self.admin)
        keys = sts.assume_role(RoleArn=role_arn, RoleSessionName="fake-aws")["Credentials"]
        return self.credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])

    def create_user(self, name: str, *actions: str) -> Credentials:
        """The environment of a new user who may do these actions on everything, and nothing else."""
        return self._create_user(self.client("iam", self.admin), name, actions)

    def client(self, service: str, credentials: Credentials) -> Any:
        """A boto3 client that acts as the owner of these credentials, whatever the process's own environment says."""
        session: Any = boto3.Session(
            aws_access_key_id=credentials["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=credentials["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=credentials["AWS_SESSION_TOKEN"] or None,
            region_name=credentials["AWS_DEFAULT_REGION"],
        )
        config = Config(retries={"total_max_attempts": 1}, proxies={})
        return session.client(service, endpoint_url=credentials["AWS_ENDPOINT_URL"], config=config)

    def _wait_for_endpoint(self) -> str:
        """Read the port, which the server chose itself, once it listens."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._server.poll() is None:
            if found := re.search(r"Running on (http://127\.0\.0\.1:\d+)", self._log.read_text(errors="replace")):
                return found[1]
            time.sleep(0.05)
        raise RuntimeError(f"the fake AWS did not start within {START_SECONDS} s; its log is {self._log}")

    def _create_administrator(self) -> Credentials:
        return self._create_user(self.client("iam", self.credentials("nobody", "nobody")), ADMINISTRATOR, ["*"])

    def _create_user(self, iam: Any, name: str, actions: Sequence[str]) -> Credentials:
        iam.create_user(UserName=name)
        if actions:
            statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
            policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=name, PolicyName="actions", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return self.credentials(key["AccessKeyId"], key["SecretAccessKey"])
