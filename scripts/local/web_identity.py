"""A real server for "signed token -> AssumeRoleWithWebIdentity -> S3 with the role's policies", conditions evaluated on the whole way.

    with WebIdentity(folder, issuers=["https://token.actions.githubusercontent.com"]) as aws:
        aws.bucket("airflow-dags-dev-123456789012")
        aws.role("sales", trust=..., policies={"publish": ...})  # documents as Terraform wrote them
        session = aws.assume("sales", issuer=aws.issuers[0], claims={"sub": "repo:acme/sales:ref:refs/heads/main"})
        assert session.call("put_object", Bucket=..., Key=...) == "AccessDenied"

It is versitygw, which has IAM with OIDC providers (web_identity_server.py says how it runs). moto, the other fake AWS here, ignores every Condition. What to know:

- Only inline policies: a managed policy is given as one more of `policies`. The limits of AWS hold: 2,048 bytes of trust, 10,240 of a role's policies, 2,048 of a user's.
- There is no AssumeRole: a role that named principals take is tried as a `user` with the same policies.
- The account has another number; every document goes through `_translated`.
- Conditions know s3:prefix, s3:delimiter, s3:max-keys, s3:x-amz-acl, s3:VersionId, the token's claims, and of aws:* what the request itself tells, SecureTransport for
  instance (S3 is served with TLS). Any other key is absent in an identity policy, and MalformedPolicy in a bucket's; aws:PrincipalArn is absent in a bucket's.
- No bucket policy binds `admin`. tests/terraform/test_web_identity_rig.py also has where it is more lenient than AWS.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import boto3
import jwt
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from dag_store import client_config
from scripts.local.s3_servers import KEYS
from scripts.pinned import program

Document = str | Mapping[str, Any]
"""A policy, as JSON or already parsed."""

ACCOUNT = "123456789012"  # in the documents
ACCOUNT_HERE = "000000000000"  # versitygw's
SERVER = Path(__file__).with_name("web_identity_server.py")
NAMESPACES = ["unshare", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]
KEY_ID = "1"  # the same at every issuer: a key that is not theirs is then refused for its signature, not for its name


def available() -> str | None:
    """Why it cannot run on this machine, or None."""
    if not program("versitygw").exists():
        return f"versitygw is not built: {program('versitygw')} (make tools)"
    for tool in ("unshare", "ip"):
        if shutil.which(tool) is None:
            return f"{tool} is not on PATH"
    tried = subprocess.run([*NAMESPACES, "--net", "ip", "link", "set", "lo", "up"], capture_output=True, text=True)
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else None


def outcome(call: Callable[..., object], *args: Any, **kwargs: Any) -> str:
    """Call something of boto3 or of WebIdentity; "ok", or the error code of its refusal (a HEAD has but "403" and "404")."""
    try:
        call(*args, **kwargs)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return "ok"


@dataclass(frozen=True)
class Session:
    """Somebody with keys."""

    environment: dict[str, str]
    """Variables that make any AWS tool act as them."""

    @cached_property
    def s3(self) -> Any:
        """A boto3 client that acts as them."""
        return self.client("s3")

    def client(self, service: Literal["s3", "iam", "sts"]) -> Any:
        """A boto3 client that acts as them."""
        return boto3.client(
            service, endpoint_url=self.environment["AWS_ENDPOINT_URL"], region_name=self.environment["AWS_DEFAULT_REGION"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"], aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=self.environment["AWS_SESSION_TOKEN"] or None,
            verify=self.environment["AWS_CA_BUNDLE"], config=client_config(retries={"total_max_attempts": 1}, proxies={}),
        )  # fmt: skip

    def call(self, operation: str, **arguments: Any) -> str:
        """Do something in S3, e.g. `call("get_object", Bucket=..., Key=...)`: "ok" or the error code. For results use `s3`."""
        return outcome(getattr(self.s3, operation), **arguments)


class WebIdentity:
    """The server, and what its administrator does on it.

    Args:
        folder: does not exist yet; an absolute path. Everything is kept there, the log too.
        issuers: URLs, with a path where there is one; each becomes an OIDC provider and has a key of its own.
        audience: what the providers accept, and the tokens have if not told otherwise.
    """

    admin: Session

    def __init__(self, folder: Path, issuers: Sequence[str], audience: str = "sts.amazonaws.com") -> None:
        self.log = folder / "server.log"
        self.issuers = list(issuers)
        self.audience = audience
        self._folder = folder
        self._authority = folder / "authority.pem"
        self._keys = {issuer: ec.generate_private_key(ec.SECP256R1()) for issuer in issuers}
        self._anybodys_key = ec.generate_private_key(ec.SECP256R1())

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        thumbprint = self._write_settings()
        with self.log.open("wb") as log:
            self._server = subprocess.Popen(
                [*NAMESPACES, sys.executable, "-P", str(SERVER), str(program("versitygw"))],
                cwd=self._folder,
                env={
                    "PATH": os.environ["PATH"],
                    "ROOT_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"],
                    "ROOT_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"],
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        try:
            self._connect(thumbprint)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End all its processes."""
        try:
            self._server.communicate(timeout=10)  # closes their standard input, which ends them
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.communicate()

    def bucket(self, name: str, policy: Document | None = None) -> None:
        """Make a versioned bucket; the administrator's `admin.s3` and `put` fill it."""
        self.admin.s3.create_bucket(Bucket=name)
        self.admin.s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        if policy is not None:
            self.admin.s3.put_bucket_policy(Bucket=name, Policy=_translated(policy))

    def put(self, bucket: str, key: str, body: bytes = b"seeded") -> str:
        """Put an object as the administrator; its VersionId."""
        return str(self.admin.s3.put_object(Bucket=bucket, Key=key, Body=body)["VersionId"])

    def role(self, name: str, trust: Document, policies: Mapping[str, Document]) -> None:
        """Make a role with inline policies."""
        self._iam.create_role(RoleName=name, AssumeRolePolicyDocument=_translated(trust))
        for policy, document in policies.items():
            self._iam.put_role_policy(RoleName=name, PolicyName=policy, PolicyDocument=_translated(document))

    def user(self, name: str, policies: Mapping[str, Document]) -> Session:
        """Make a user with inline policies."""
        self._iam.create_user(UserName=name)
        for policy, document in policies.items():
            self._iam.put_user_policy(UserName=name, PolicyName=policy, PolicyDocument=_translated(document))
        return self._session(self._iam.create_access_key(UserName=name)["AccessKey"])

    def token(
        self, issuer: str, claims: Mapping[str, Any], *, audience: str | None = None, signed_by: str | None = None
    ) -> str:
        """An OIDC token that is good for an hour.

        Args:
            issuer: need not be one of `issuers`.
            claims: at least `sub`; they win over all others, `exp` for instance.
            audience: of the token, if not the rig's.
            signed_by: an issuer whose key signs it instead of the issuer's own; a name that is none has a key that nobody publishes.
        """
        now = int(time.time())
        usual = {"iss": issuer, "aud": audience or self.audience, "iat": now, "exp": now + 3600}
        key = self._keys.get(signed_by or issuer, self._anybodys_key)
        return jwt.encode({**usual, **claims}, key, algorithm="ES256", headers={"kid": KEY_ID})

    def assume(
        self,
        role: str,
        *,
        issuer: str,
        claims: Mapping[str, Any],
        audience: str | None = None,
        signed_by: str | None = None,
    ) -> Session:
        """Take a role with such a token; a refusal is botocore's ClientError, see `outcome`."""
        return self.exchange(role, self.token(issuer, claims, audience=audience, signed_by=signed_by))

    def exchange(self, role: str, token: str) -> Session:
        """Take a role with this token."""
        arn = f"arn:aws:iam::{ACCOUNT_HERE}:role/{role}"
        taken = self._sts.assume_role_with_web_identity(RoleArn=arn, RoleSessionName="test", WebIdentityToken=token)
        return self._session(taken["Credentials"])

    def _connect(self, thumbprint: str) -> None:
        assert self._server.stdout is not None
        ready = self._server.stdout.readline()
        if not ready:
            raise RuntimeError(f"the server did not start:\n{self.log.read_text(errors='replace')}")
        self._endpoints: dict[str, str] = json.loads(ready)
        root = {"AccessKeyId": KEYS["AWS_ACCESS_KEY_ID"], "SecretAccessKey": KEYS["AWS_SECRET_ACCESS_KEY"]}
        self.admin = self._session(root)
        identities = self._session(root, "iam")
        self._iam, self._sts = identities.client("iam"), identities.client("sts")
        for issuer in self.issuers:
            self._iam.create_open_id_connect_provider(
                Url=issuer, ClientIDList=[self.audience], ThumbprintList=[thumbprint]
            )

    def _session(self, keys: Mapping[str, str], server: str = "s3") -> Session:
        return Session(
            {
                "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
                # Empty rather than absent: a token of the caller's own shell would be sent with the keys above.
                "AWS_SESSION_TOKEN": keys.get("SessionToken", ""),
                "AWS_DEFAULT_REGION": KEYS["AWS_DEFAULT_REGION"],
                "AWS_ENDPOINT_URL": self._endpoints[server],
                "AWS_CA_BUNDLE": str(self._authority),
                "AWS_EC2_METADATA_DISABLED": "true",
            }
        )

    def _write_settings(self) -> str:
        """Write what the server reads, and return the thumbprint of the certificates' authority."""
        jwks = {
            issuer: {"keys": [ECAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": KEY_ID, "use": "sig"}]}
            for issuer, key in self._keys.items()
        }
        (self._folder / "issuers.json").write_text(json.dumps(jwks))
        tls, authority = _certificates({urlsplit(issuer).netloc for issuer in self.issuers})
        (self._folder / "tls.pem").write_bytes(tls)
        self._authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        return authority.fingerprint(hashes.SHA1()).hex()  # noqa: S303  AWS takes this as a thumbprint


def _translated(document: Document) -> str:
    """The document for this account, without the spaces that AWS does not count either.

    versitygw knows the names of three services only and is called by none, so another stands in for EKS's. Whoever calls
    is of the bucket's own account here, and of the two it knows the caller's alone: that stands in for the bucket's.
    """
    parsed = json.loads(document) if isinstance(document, str) else document
    text = json.dumps(parsed, separators=(",", ":")).replace('"pods.eks.amazonaws.com"', '"sts.amazonaws.com"')
    text = text.replace('"aws:ResourceAccount"', '"aws:PrincipalAccount"')
    return re.sub(rf'(?<=[":]){ACCOUNT}(?=[":])', ACCOUNT_HERE, text)  # not within the name of a bucket


def _certificates(hosts: Iterable[str]) -> tuple[bytes, x509.Certificate]:
    """A key with its certificate for these hosts and loopback and the authority's, as PEM; and the authority's alone."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority of the tests")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)

    def certificate(
        owner: ec.EllipticCurvePrivateKey, subject: x509.Name, extension: x509.ExtensionType
    ) -> x509.Certificate:
        return (
            x509.CertificateBuilder(authority_name, subject, owner.public_key(), x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(extension, critical=True)
            .sign(authority_key, hashes.SHA256())
        )

    names = [*map(x509.DNSName, hosts), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    authority = certificate(authority_key, authority_name, x509.BasicConstraints(ca=True, path_length=None))
    leaf = certificate(key, x509.Name([]), x509.SubjectAlternativeName(names))
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + leaf.public_bytes(pem) + authority.public_bytes(pem), authority
