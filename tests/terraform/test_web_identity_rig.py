"""The rig that the tests of isolation stand on really decides: each kind of rule is seen to allow and to refuse."""

import itertools
import json
import time

import pytest

from scripts.local.web_identity import WebIdentity, available, outcome

UNAVAILABLE = available()
pytestmark = pytest.mark.skipif(UNAVAILABLE is not None, reason=str(UNAVAILABLE))

GITHUB = "https://token.actions.githubusercontent.com"
GITLAB = "https://gitlab.com"
EKS = "https://oidc.eks.eu-central-1.amazonaws.com/id/ABCDEF"
BUCKET = "rig-123456789012"  # with the account's number in it, as Terraform names buckets
ARN = f"arn:aws:s3:::{BUCKET}"
MAIN = {"sub": "repo:acme/sales:ref:refs/heads/main"}


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)


def statement(*actions, effect="Allow", on=("*",), when=None, **more):
    return {"Effect": effect, "Action": actions, "Resource": on, "Condition": when or {}, **more}


def trust(issuer, subject, audience="sts.amazonaws.com"):
    """As Terraform writes it: a token's statement, and beside it one of a person's and one of EKS Pod Identity's."""
    provider = issuer.removeprefix("https://")
    federated = f"arn:aws:iam::123456789012:oidc-provider/{provider}"
    principals = {
        "Token": (["sts:AssumeRoleWithWebIdentity"], {"Federated": federated}),
        "People": (["sts:AssumeRole"], {"AWS": "arn:aws:iam::123456789012:role/people"}),
        "Pods": (["sts:AssumeRole", "sts:TagSession"], {"Service": "pods.eks.amazonaws.com"}),
    }
    statements = [
        {"Sid": sid, "Effect": "Allow", "Action": actions, "Principal": principal}
        for sid, (actions, principal) in principals.items()
    ]
    statements[0]["Condition"] = {
        "StringLike": {f"{provider}:sub": subject},
        "StringEquals": {f"{provider}:aud": audience},
    }
    return document(*statements)


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with WebIdentity(tmp_path_factory.mktemp("aws") / "rig", [GITHUB, GITLAB, EKS]) as rig:
        rig.bucket(BUCKET)
        for key in ("a/1", "b/1"):
            rig.put(BUCKET, key)
        own = statement("s3:PutObject", on=[f"{ARN}/a/*"])
        rig.role("publisher", trust(GITHUB, "repo:acme/sales:ref:refs/heads/*"), {"publish": document(own)})
        rig.role("pod", trust(EKS, "system:serviceaccount:airflow:scheduler"), {})
        yield rig


@pytest.fixture
def user(rig):
    """Makes somebody with these statements; the name is never the same."""
    return lambda *statements: rig.user(f"user-{next(NUMBERS)}", {"own": document(*statements)} if statements else {})


NUMBERS = itertools.count()


def test_a_token_becomes_a_session_with_the_roles_policies(rig):
    session = rig.assume("publisher", issuer=GITHUB, claims=MAIN)
    assert session.call("put_object", Bucket=BUCKET, Key="a/new") == "ok"
    assert session.call("put_object", Bucket=BUCKET, Key="b/new") == "AccessDenied"
    assert session.call("get_object", Bucket=BUCKET, Key="a/new") == "AccessDenied"


TOKENS = {
    "nothing": ({}, "ok"),
    "repository": ({"claims": {"sub": "repo:other/sales:ref:refs/heads/main"}}, "InvalidIdentityToken"),
    "branch": ({"claims": {"sub": "repo:acme/sales:pull_request"}}, "InvalidIdentityToken"),
    "case": ({"claims": {"sub": "repo:ACME/sales:ref:refs/heads/main"}}, "InvalidIdentityToken"),
    "audience": ({"audience": "https://github.com/acme"}, "InvalidIdentityToken"),
    "issuer that the role does not trust": ({"issuer": GITLAB}, "InvalidIdentityToken"),
    "issuer that nobody knows": ({"issuer": "https://issuer.example"}, "InvalidIdentityToken"),
    "key of another issuer": ({"signed_by": GITLAB}, "InvalidIdentityToken"),
    "key of nobody": ({"signed_by": "nobody"}, "InvalidIdentityToken"),
    "no subject": ({"claims": {}}, "InvalidIdentityToken"),
    # five minutes are forgiven, as AWS does
    "expired": ({"claims": {**MAIN, "exp": int(time.time()) - 600}}, "ExpiredTokenException"),
    "role": ({"role": "none"}, "AccessDenied"),
}


@pytest.mark.parametrize(("wrong", "answer"), TOKENS.values(), ids=TOKENS)
def test_a_token_with_one_thing_wrong_is_refused(rig, wrong, answer):
    assert outcome(rig.assume, **{"role": "publisher", "issuer": GITHUB, "claims": MAIN, **wrong}) == answer


def test_the_audience_must_suit_the_role_and_the_provider(rig):
    rig.role("elsewhere", trust(GITHUB, MAIN["sub"], audience="elsewhere"), {})
    for audience in ("sts.amazonaws.com", "elsewhere"):  # the provider takes only the first, the role only the second
        answer = outcome(rig.assume, "elsewhere", issuer=GITHUB, claims=MAIN, audience=audience)
        assert answer == "InvalidIdentityToken"


def test_an_issuer_may_have_a_path(rig):
    def take(issuer, account):
        return outcome(rig.assume, "pod", issuer=issuer, claims={"sub": f"system:serviceaccount:airflow:{account}"})

    assert take(EKS, "scheduler") == "ok"
    assert take(EKS, "triggerer") == "InvalidIdentityToken"
    assert take(EKS.replace("ABCDEF", "OTHER"), "scheduler") == "InvalidIdentityToken"


def test_somebody_without_a_policy_may_do_nothing(rig, user):
    nobody = user()
    for operation in ("get_object", "put_object", "delete_object"):
        assert nobody.call(operation, Bucket=BUCKET, Key="a/1") == "AccessDenied"
    for operation in ("list_objects_v2", "list_object_versions", "get_bucket_versioning", "get_bucket_policy"):
        assert nobody.call(operation, Bucket=BUCKET) == "AccessDenied"
    assert nobody.call("list_buckets") == "AccessDenied"
    assert rig.admin.call("list_buckets") == "ok"


@pytest.mark.parametrize("operation", ["list_objects_v2", "list_objects", "list_object_versions"])
def test_a_listing_is_held_to_its_prefix(user, operation):
    rule = {"StringLike": {"s3:prefix": ["a/*"]}}
    session = user(statement("s3:ListBucket", "s3:ListBucketVersions", on=[ARN], when=rule))
    assert session.call(operation, Bucket=BUCKET, Prefix="a/") == "ok"
    for other in ({"Prefix": "b/"}, {"Prefix": "a"}, {"Prefix": ""}, {}):
        assert session.call(operation, Bucket=BUCKET, **other) == "AccessDenied"


def test_a_session_has_results_too(rig, user):
    rig.put(BUCKET, "listed/1")
    found = user(statement("s3:ListBucket", on=[ARN])).s3.list_objects_v2(Bucket=BUCKET, Prefix="listed/")
    assert [each["Key"] for each in found["Contents"]] == ["listed/1"]


def test_reading_a_version_is_a_right_of_its_own(rig, user):
    version = rig.put(BUCKET, "a/read")
    current = user(statement("s3:GetObject", on=[f"{ARN}/a/*"]))
    assert current.call("get_object", Bucket=BUCKET, Key="a/read") == "ok"
    assert current.call("get_object", Bucket=BUCKET, Key="b/1") == "AccessDenied"
    assert current.call("get_object", Bucket=BUCKET, Key="a/read", VersionId=version) == "AccessDenied"
    versions = user(statement("s3:GetObjectVersion", on=[f"{ARN}/a/*"]))
    assert versions.call("get_object", Bucket=BUCKET, Key="a/read", VersionId=version) == "ok"
    assert versions.call("get_object", Bucket=BUCKET, Key="a/read") == "AccessDenied"


def test_deleting_a_version_and_setting_a_marker_are_two_rights(rig, user):
    version = rig.put(BUCKET, "a/delete")
    marks = user(statement("s3:DeleteObject", on=[f"{ARN}/a/*"]))
    assert marks.call("delete_object", Bucket=BUCKET, Key="a/delete", VersionId=version) == "AccessDenied"
    assert marks.call("delete_object", Bucket=BUCKET, Key="a/delete") == "ok"
    deletes = user(statement("s3:DeleteObjectVersion", on=[f"{ARN}/a/*"]))
    assert deletes.call("delete_object", Bucket=BUCKET, Key="a/delete") == "AccessDenied"
    assert deletes.call("delete_object", Bucket=BUCKET, Key="a/delete", VersionId=version) == "ok"


def test_deleting_many_answers_for_each_key(rig, user):
    session = user(statement("s3:DeleteObject", on=[f"{ARN}/a/*"]))
    wanted = [{"Key": "a/many"}, {"Key": "b/1"}, {"Key": "a/many", "VersionId": rig.put(BUCKET, "a/many")}]
    answer = session.s3.delete_objects(Bucket=BUCKET, Delete={"Objects": wanted})
    assert [(each["Key"], each["DeleteMarker"]) for each in answer["Deleted"]] == [("a/many", True)]
    refused = {(each["Key"], each.get("VersionId", ""), each["Code"]) for each in answer["Errors"]}
    assert refused == {("b/1", "", "AccessDenied"), ("a/many", wanted[2]["VersionId"], "AccessDenied")}


def test_a_deny_wins(user):
    allow = statement("s3:*", on=[f"{ARN}/*"])
    deny = statement("s3:GetObject", effect="Deny", on=[f"{ARN}/b/*"])
    session = user(allow, deny)
    assert session.call("get_object", Bucket=BUCKET, Key="a/1") == "ok"
    assert session.call("get_object", Bucket=BUCKET, Key="b/1") == "AccessDenied"


def test_a_copy_needs_its_source(user):
    session = user(statement("s3:PutObject", "s3:GetObject", on=[f"{ARN}/a/*"]))
    assert session.call("copy_object", Bucket=BUCKET, Key="a/copy", CopySource=f"{BUCKET}/a/1") == "ok"
    assert session.call("copy_object", Bucket=BUCKET, Key="a/copy", CopySource=f"{BUCKET}/b/1") == "AccessDenied"


SSE = "s3:x-amz-server-side-encryption"
HTTPS, HTTP = ({"Bool": {"aws:SecureTransport": value}} for value in ("true", "false"))


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        (HTTPS, "ok"),
        (HTTP, "AccessDenied"),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:user/user-*"}}, "ok"),
        ({"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:user/other-*"}}, "AccessDenied"),
        ({"StringEquals": {"aws:PrincipalAccount": "123456789012"}}, "ok"),
        ({"StringEquals": {"aws:ResourceAccount": "123456789012"}}, "ok"),  # the caller's account in its place
        ({"StringEquals": {"aws:ResourceAccount": "210987654321"}}, "AccessDenied"),
        # AWS: ok, as the header is sent. For versitygw the key is absent, so what is Null here is not there.
        ({"StringEquals": {SSE: "AES256"}}, "AccessDenied"),
        ({"Null": {SSE: "true"}}, "ok"),
    ],
    ids=str,
)
def test_which_keys_an_identity_policy_may_ask_for(user, rule, answer):
    session = user(statement("s3:PutObject", when=rule))
    assert session.call("put_object", Bucket=BUCKET, Key="a/key", ServerSideEncryption="AES256") == answer


@pytest.mark.parametrize(
    ("rule", "answer"),
    [
        (HTTP, "ok"),
        (HTTPS, "AccessDenied"),
        # AWS: ok, as it is the caller's. versitygw has the key in identity policies only.
        ({"ArnNotLike": {"aws:PrincipalArn": "arn:aws:iam::123456789012:user/*"}}, "AccessDenied"),
    ],
    ids=str,
)
def test_which_keys_a_bucket_policy_may_deny_by(rig, user, rule, answer):
    bucket = f"rig-{next(NUMBERS)}"
    on = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    rig.bucket(bucket, document(statement("s3:*", effect="Deny", on=on, when=rule, Principal="*")))
    assert user(statement("s3:*")).call("put_object", Bucket=bucket, Key="k") == answer


@pytest.mark.parametrize("key", [SSE, "s3:TlsVersion", "aws:PrincipalAccount"])
def test_which_keys_a_bucket_policy_must_not_have(rig, key):
    bucket = f"rig-{next(NUMBERS)}"
    deny = statement("s3:*", effect="Deny", on=[f"arn:aws:s3:::{bucket}/*"], when={"StringEquals": {key: "x"}})
    assert outcome(rig.bucket, bucket, document({**deny, "Principal": "*"})) == "MalformedPolicy"


def test_where_it_is_more_lenient_than_aws(rig, user):
    """Nothing may be concluded from these on this server."""
    version = rig.put(BUCKET, "a/lenient")
    session = user(statement("s3:GetObject", "s3:PutObject", on=[f"{ARN}/a/*"]))
    source = {"Bucket": BUCKET, "Key": "a/lenient", "VersionId": version}
    assert session.call("copy_object", Bucket=BUCKET, Key="a/copy", CopySource=source) == "ok"  # s3:GetObjectVersion
    assert session.call("get_object", Bucket=BUCKET, Key="a/none") == "NoSuchKey"  # AccessDenied without s3:ListBucket
