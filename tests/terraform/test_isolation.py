"""The roles that Terraform applied, taken with signed tokens, on a server that evaluates trust, rights and conditions."""

import pytest

from scripts.local.web_identity import available, outcome
from tests.helpers.needs import needs_terraform
from tests.terraform.conftest import ISSUER
from tests.terraform.isolation import ALLOWED, CALLS, PLACES, Object
from tests.terraform.rig import DEV, GITHUB, GITLAB, PROD, WHO, assume, rig_of

UNAVAILABLE = available()
pytestmark = [*needs_terraform, pytest.mark.skipif(UNAVAILABLE is not None, reason=str(UNAVAILABLE))]


@pytest.fixture(scope="module")
def rig(aws, built, tmp_path_factory):
    with rig_of(aws, built, tmp_path_factory.mktemp("rig") / "rig") as rig:
        yield rig


@pytest.fixture(scope="module")
def sessions(rig):
    return {who: assume(rig, who) for who in WHO}


@pytest.fixture(scope="module")
def objects(rig):
    """Every place with an object in it."""
    return {name: Object(bucket, key, rig.put(bucket, key, b"x")) for name, (bucket, key) in PLACES.items()}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("who", WHO)
def test_a_role_does_what_is_listed_and_nothing_else(rig, sessions, objects, who, call):
    expected = {place: call in ALLOWED[who].get(place, ()) for place in PLACES}
    answers = {}
    for place, it in objects.items():
        answers[place] = CALLS[call](sessions[who], it)
        if call.startswith("delete") and answers[place] == "ok":
            objects[place] = Object(it.bucket, it.key, rig.put(it.bucket, it.key, b"x"))
    assert answers == {place: "ok" if allowed else "AccessDenied" for place, allowed in expected.items()}


def test_the_table_is_large_enough_and_has_both_answers():
    rows = [(who, call, place) for who in WHO for call in CALLS for place in PLACES]
    allowed = [row for row in rows if row[1] in ALLOWED[row[0]].get(row[2], ())]
    assert len(rows) == 10 * 7 * 19 and len(allowed) > 150, (len(rows), len(allowed))
    print(f"\nisolation: {len(rows)} calls, {len(allowed)} of them allowed")


@pytest.mark.parametrize(
    "prefix", ["", "dev/", "dev/team_a", "dev/team_a/", "manifests/dev/", "pointers/", "pointers/dev/"]
)
@pytest.mark.parametrize("operation", ["list_objects_v2", "list_object_versions"])
def test_a_publisher_lists_no_wider_than_its_own_places(sessions, operation, prefix):
    assert sessions["publisher"].call(operation, Bucket=DEV, Prefix=prefix) == "AccessDenied"
    assert sessions["publisher"].call(operation, Bucket=DEV) == "AccessDenied"


def test_the_poll_of_dag_sync_is_allowed(sessions):
    assert sessions["dag_processor"].call("list_objects_v2", Bucket=DEV, Prefix="pointers/dev/") == "ok"


def test_an_operator_runs_the_guide_s_procedures(rig, sessions, objects):
    """`aws s3 ls`, copy-object of an old version, removing a delete marker; nothing of another environment."""
    operator, it = sessions["operator"], objects["team_a2's"]
    assert operator.call("list_objects_v2", Bucket=DEV, Prefix="dev/") == "ok"
    source = {**it.at, "VersionId": it.version}
    rig.put(it.bucket, it.key, b"a mistake")
    assert operator.call("copy_object", **it.at, CopySource=source) == "ok"
    marker = operator.s3.delete_object(**it.at)["VersionId"]
    assert operator.call("get_object", **it.at) == "NoSuchKey"
    assert operator.call("delete_object", **it.at, VersionId=marker) == "ok"
    assert operator.call("get_object", **it.at) == "ok"
    into_prod = {"Bucket": PROD, "Key": "prod/team_a/dags/a.py"}
    assert operator.call("copy_object", **into_prod, CopySource=source) == "AccessDenied"
    from_prod = {**objects["prod: own"].at, "VersionId": objects["prod: own"].version}
    assert operator.call("copy_object", **it.at, CopySource=from_prod) == "AccessDenied"


def test_a_publisher_copies_nothing_out_of_another_package(sessions, objects):
    target = {"Bucket": DEV, "Key": "dev/team_a/dags/stolen.py"}
    assert sessions["publisher"].call("copy_object", **target, CopySource=objects["team_a2's"].at) == "AccessDenied"
    assert sessions["publisher"].call("copy_object", **target, CopySource=objects["own"].at) == "ok"


def test_a_bulk_delete_is_judged_key_by_key(sessions, objects, rig):
    own, other = objects["own"], objects["team_a2's"]
    done = sessions["publisher"].s3.delete_objects(
        Bucket=DEV, Delete={"Objects": [{"Key": own.key}, {"Key": other.key}]}
    )
    objects["own"] = Object(own.bucket, own.key, rig.put(own.bucket, own.key, b"x"))
    assert [d["Key"] for d in done["Deleted"]] == [own.key]
    assert [(e["Key"], e["Code"]) for e in done["Errors"]] == [(other.key, "AccessDenied")]


DEV_ROLE, PROD_ROLE = "airflow-dev-publish-team_a", "airflow-prod-publish-team_a"
A2_DEV, A2_PROD = "airflow-dev-publish-team_a2", "airflow-prod-publish-team_a2"
REPOSITORY = "repo:acme/team-a"
PROJECT = "project_path:acme/data/team-a2"
TAKES = [
    # role, issuer, subject, whether it may take the role
    (DEV_ROLE, GITHUB, f"{REPOSITORY}:ref:refs/heads/main", True),
    (DEV_ROLE, GITHUB, f"{REPOSITORY}:ref:refs/heads/main2", False),
    (DEV_ROLE, GITHUB, f"{REPOSITORY}:ref:refs/heads/feature", False),
    (DEV_ROLE, GITHUB, f"{REPOSITORY}:ref:refs/tags/main", False),
    (DEV_ROLE, GITHUB, f"{REPOSITORY}:pull_request", False),
    (DEV_ROLE, GITHUB, f"{REPOSITORY}:environment:production", False),
    (DEV_ROLE, GITHUB, "repo:acme/team-a2:ref:refs/heads/main", False),
    (DEV_ROLE, GITHUB, "repo:evil/team-a:ref:refs/heads/main", False),
    (DEV_ROLE, GITHUB, "repo:ACME/team-a:ref:refs/heads/main", False),
    (DEV_ROLE, GITLAB, f"{REPOSITORY}:ref:refs/heads/main", False),
    (DEV_ROLE, ISSUER, f"{REPOSITORY}:ref:refs/heads/main", False),
    (PROD_ROLE, GITHUB, f"{REPOSITORY}:environment:production", True),
    (PROD_ROLE, GITHUB, f"{REPOSITORY}:ref:refs/heads/main", False),
    (PROD_ROLE, GITHUB, f"{REPOSITORY}:environment:Production", False),
    (PROD_ROLE, GITHUB, f"{REPOSITORY}:environment:staging", False),
    (PROD_ROLE, GITHUB, "repo:acme/team-a2:environment:production", False),
    (A2_DEV, GITLAB, f"{PROJECT}:ref_type:branch:ref:main", True),
    (A2_DEV, GITLAB, f"{PROJECT}:ref_type:tag:ref:main", False),
    (A2_DEV, GITLAB, f"{PROJECT}:ref_type:branch:ref:production", False),
    (A2_DEV, GITLAB, "project_path:acme/team-a2:ref_type:branch:ref:main", False),
    (A2_DEV, GITHUB, f"{PROJECT}:ref_type:branch:ref:main", False),
    (A2_PROD, GITLAB, f"{PROJECT}:ref_type:branch:ref:production", True),
    (A2_PROD, GITLAB, f"{PROJECT}:ref_type:branch:ref:main", False),
    ("airflow-dev-scheduler", ISSUER, "system:serviceaccount:airflow:airflow-scheduler", True),
    ("airflow-dev-scheduler", ISSUER, "system:serviceaccount:airflow:airflow-worker", False),
    ("airflow-dev-scheduler", ISSUER, "system:serviceaccount:etl-jobs:airflow-scheduler", False),
    ("airflow-dev-scheduler", ISSUER, "system:serviceaccount:default:default", False),
    ("airflow-dev-scheduler", GITHUB, "system:serviceaccount:airflow:airflow-scheduler", False),
    ("airflow-dev-dag-adopter", ISSUER, "system:serviceaccount:airflow:airflow-dag-adopter", True),
    ("airflow-dev-dag-adopter", ISSUER, "system:serviceaccount:airflow:airflow-dag-processor", False),
    ("airflow-dev-job-team_a", ISSUER, "system:serviceaccount:etl-jobs:team-a", True),
    ("airflow-dev-job-team_a", ISSUER, "system:serviceaccount:etl-jobs:team-a2", False),
    ("airflow-dev-job-team_a", ISSUER, "system:serviceaccount:airflow:team-a", False),
]


@pytest.mark.parametrize(("role", "issuer", "subject", "takes"), TAKES)
def test_a_role_is_taken_with_its_own_token_only(rig, role, issuer, subject, takes):
    expected = "ok" if takes else "InvalidIdentityToken"
    assert outcome(rig.assume, role, issuer=issuer, claims={"sub": subject}) == expected
    assert outcome(rig.assume, role, issuer=issuer, claims={"sub": subject}, audience="somebody-else") != "ok"
    assert outcome(rig.assume, role, issuer=issuer, claims={"sub": subject}, signed_by="nobody") != "ok"
