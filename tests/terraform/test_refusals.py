"""Bad variables: each gets one sentence that says what, where and the way out."""

import pytest

from tests.helpers.terraform import needs_terraform

pytestmark = needs_terraform

PUBLISHER = "arn:aws:iam::123456789012:role/ci"


def package(*publishers):
    return {"publishers": list(publishers)}


@pytest.fixture(scope="module")
def of_the_environment(manage):
    """One plan with all that the root refuses: Terraform reports every one."""
    return manage.refusals(
        "prod",
        packages={"sales": package(PUBLISHER), "sales_eu": package(PUBLISHER)},
        readers=["*"],
        bucket_name="airflow-dags-dev",
        tls_only=False,
    )


@pytest.fixture(scope="module")
def of_the_modules(manage):
    """One plan with names and retentions that the modules refuse."""
    return manage.refusals(
        "dev",
        environment="production",
        packages={name: package(PUBLISHER) for name in ("Sales-Reports", "x", "a" * 41, "b" * 40)},
        noncurrent_days=10,
        newer_noncurrent_versions=5,
    )


@pytest.fixture(scope="module")
def of_publishers(manage):
    """One plan with publishers that are refused; Terraform looks at them once all names are good."""
    return manage.refusals(
        "dev",
        packages={
            "finance": package("arn:aws:iam::123456789012:role/*"),
            "open": package("*"),
            "ops": package("arn:aws:iam::123456789012:oidc-provider/ci.example.com"),
            "nobody": package(),
        },
    )


@pytest.mark.parametrize(
    "sentence",
    [
        'Package "sales_eu" begins with the name of package "sales" and an underscore, so that DAG ids could belong to'
        " either: rename one of them.",
        "readers must be ARNs of users, roles or an account, without wildcards; got *.",
        "Bucket airflow-dags-dev does not carry the name of environment prod: put it into bucket_name, or leave"
        " bucket_name out.",
        "tls_only is false in environment prod: only demo, which runs on a fake AWS, may talk to its bucket without"
        " TLS; remove the line.",
    ],
)
def test_the_environment_refuses(of_the_environment, sentence):
    assert any(sentence in refusal for refusal in of_the_environment), of_the_environment


def test_the_environment_refuses_nothing_else(of_the_environment):
    assert len(of_the_environment) == 4, of_the_environment


@pytest.mark.parametrize(
    "sentence",
    [
        '"Sales-Reports" is no package name: use 2 to 40 lower-case letters, digits and single underscores, a letter'
        " first.",
        '"x" is no package name',
        f'"{"a" * 41}" is no package name',
        f"The role name airflow-production-publish-{'b' * 40} has more than the 64 characters IAM takes: choose a"
        " shorter package name.",
        "noncurrent_days is 10: rollback needs old versions for at least 30 days; set 30 or more.",
        "newer_noncurrent_versions is 5: a package that is seldom published needs at least 20 to roll back to, and S3"
        " takes at most 100; set 20 to 100.",
    ],
)
def test_the_modules_refuse(of_the_modules, sentence):
    assert any(sentence in refusal for refusal in of_the_modules), of_the_modules


def test_the_modules_refuse_nothing_else(of_the_modules):
    """The package of 41 letters is refused twice: no name, and too long for a role."""
    assert len(of_the_modules) == 7, of_the_modules


@pytest.mark.parametrize(
    "sentence",
    [
        "Publishers of package finance must be ARNs of users, roles or an account, without wildcards; got"
        " arn:aws:iam::123456789012:role/*.",
        "Publishers of package open must be ARNs of users, roles or an account, without wildcards; got *.",
        "Publishers of package ops must be ARNs of users, roles or an account",
        "Package nobody names no publisher: list the ARN of at least one user or role that publishes it.",
    ],
)
def test_publishers_are_named(of_publishers, sentence):
    assert any(sentence in refusal for refusal in of_publishers), of_publishers


def test_no_other_publisher_is_refused(of_publishers):
    assert len(of_publishers) == 4, of_publishers


def test_an_environment_is_not_named_like_a_folder_of_the_bucket(manage):
    """Its files would lie among the pointers of the others."""
    [refusal] = manage.refusals("dev", environment="pointers")
    assert '"pointers" is no environment name' in refusal
