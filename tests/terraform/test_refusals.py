"""Bad variables: each gets one sentence that says what, where and the way out. Every rule in terraform/ is tried."""

import json
import re
from itertools import chain

import pytest

from scripts.local.terraform import TERRAFORM, Modules
from tests.helpers.needs import needs_terraform

pytestmark = needs_terraform

ROLE = "arn:aws:iam::123456789012:role/ci"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1"
PROVIDER = "arn:aws:iam::123456789012:oidc-provider"
SECRETS = "arn:aws:secretsmanager:eu-central-1:123456789012:secret"
CLUSTER = {"name": "main", "arn": "arn:aws:eks:eu-central-1:123456789012:cluster/main", "identity": "pod_identity"}
GITHUB = {"repository": "acme/sales-dags"}
GITLAB = {"project": "acme/sales"}

OF_DAGS = {"environment": "dev", "bucket_arn": "arn:aws:s3:::airflow-dags-dev", "account_id": "123456789012"}
GOOD = {
    "bucket-owner": {"bucket_arn": "arn:aws:s3:::airflow-dags-dev"},
    "dag-adopt": OF_DAGS,
    "dag-bucket": {"name": "airflow-dags-dev", "environment": "dev"},
    "dag-read": OF_DAGS,
    "ecr-repository": {"name": "airflow/sales"},
    "job-role": {"environment": "dev", "package": "sales", "secrets": {"arn": SECRETS}, "principals": [ROLE]},
    "observability": {"environment": "dev", "packages": ["sales"]},
    "oidc-provider": {},
    "operator-role": {
        "environment": "dev",
        "bucket_arn": "arn:aws:s3:::airflow-dags-dev",
        "account_id": "123456789012",
        "image_repositories_arn": "arn:aws:ecr:eu-central-1:123456789012:repository/airflow/*",
        "log_groups_arn": "arn:aws:logs:eu-central-1:123456789012:log-group:/airflow/dev/*",
    },
    "package-role": {
        "environment": "dev",
        "package": "sales",
        "bucket_arn": "arn:aws:s3:::airflow-dags-dev",
        "account_id": "123456789012",
        "image_repository": {"arn": "arn:aws:ecr:eu-central-1:123456789012:repository/airflow/sales"},
        "oidc_provider_arns": {"github": f"{PROVIDER}/github.example.com", "gitlab": f"{PROVIDER}/gitlab.com"},
        "github": GITHUB,
    },
    "remote-logs": OF_DAGS,
    "secrets-read": {"secrets_arn": SECRETS},
    "service-account-role": {
        "name": "airflow-dev-worker",
        "description": "",
        "service_accounts": {"namespace": "airflow", "names": ["worker"]},
        "cluster": CLUSTER,
    },
}
"""Of each module with a rule, what it needs and takes."""

OF_MODULES = [
    *(
        (
            module,
            {"environment": "pointers"} | ({"principals": [ROLE]} if module == "operator-role" else {}),
            '"pointers" is no environment name: use 2 to 40 lower-case letters, digits and single hyphens, a letter'
            " first, and none of logs, manifests, pointers, which are taken.",
        )
        for module, good in GOOD.items()
        if "environment" in good
    ),
    ("dag-bucket", {"name": "DAGs"}, '"DAGs" is no bucket name: use 3 to 63 lower-case letters, digits and hyphens.'),
    *(
        (
            "dag-bucket",
            {"kms_key_arn": key},
            f'kms_key_arn is "{key}": give the ARN of a key (arn:<partition>:kms:<region>:<account>:key/<id>), since an alias'
            " cannot stand in a policy.",
        )
        for key in ("", "arn:aws:kms:eu-central-1:123456789012:alias/dags")
    ),
    (
        "dag-bucket",
        {"noncurrent_days": 10},
        "noncurrent_days is 10: rollback needs old versions for at least 30 days; set 30 or more, or 0 to keep them for"
        " ever.",
    ),
    *(
        (
            "dag-bucket",
            {"newer_noncurrent_versions": number},
            f"newer_noncurrent_versions is {number}: a package that is seldom published needs at least 20 to roll back"
            " to, and S3 takes at most 100; set 20 to 100.",
        )
        for number in (19, 101)
    ),
    (
        "dag-bucket",
        {"log_days": -1},
        "log_days is -1: set the days that task logs are kept, or 0 to keep them for ever.",
    ),
    (
        "dag-bucket",
        {"access_logs": {"bucket": "airflow-dags-dev"}},
        "access_logs.bucket is airflow-dags-dev itself: each log would be logged again; name another bucket.",
    ),
    *(
        (
            "dag-bucket",
            {"replication": {"bucket_arn": bucket}},
            f'replication.bucket_arn is "{bucket}": give the ARN of another bucket (arn:<partition>:s3:::<name>).',
        )
        for bucket in ("airflow-dags-copy", "arn:aws:s3:::airflow-dags-dev", "arn:aws:s3:::airflow-dags-*")
    ),
    (
        "dag-bucket",
        {"kms_key_arn": KEY, "replication": {"bucket_arn": "arn:aws:s3:::airflow-dags-copy"}},
        "The bucket is encrypted with KMS and replication.kms_key_arn is missing, so S3 would copy nothing: name the"
        " key of the copies.",
    ),
    (
        "dag-bucket",
        {"vpc_endpoint_ids": ["vpc-0123456789abcdef0"], "exempt_from_vpc_endpoints": [ROLE]},
        'vpc_endpoint_ids are ["vpc-0123456789abcdef0"]: give the ids of VPC endpoints, like vpce-0123456789abcdef0.',
    ),
    (
        "dag-bucket",
        {"vpc_endpoint_ids": ["vpce-0123456789abcdef0"]},
        "vpc_endpoint_ids are set and exempt_from_vpc_endpoints is empty, so that nobody outside of the endpoints could"
        " reach the bucket or take the rule away again: name the role that Terraform runs as, and the administrators'.",
    ),
    (
        "dag-bucket",
        {"exempt_from_vpc_endpoints": [ROLE]},
        f"exempt_from_vpc_endpoints names {ROLE} and vpc_endpoint_ids is empty, so that there is nothing to be exempted"
        " from: name the endpoints, or leave both out.",
    ),
    *(
        (
            "dag-bucket",
            {"vpc_endpoint_ids": ["vpce-0123456789abcdef0"], "exempt_from_vpc_endpoints": [ROLE, arn]},
            f"exempt_from_vpc_endpoints must be ARNs of users and roles, without wildcards; got {ROLE}, {arn}.",
        )
        for arn in (
            "*",
            "arn:aws:iam::123456789012:role/*",
            "arn:aws:iam::123456789012:root",  # the root user alone, not the account
            "arn:aws:sts::123456789012:assumed-role/terraform/session",  # no policy sees it
        )
    ),
    *(
        (
            "bucket-owner",
            {"account_id": account},
            f'account_id is "{account}": give the twelve digits of the account that the bucket is in.',
        )
        for account in ("1234", "*")
    ),
    *(
        (
            "ecr-repository",
            {"deployable_tags": tags},
            f"deployable_tags are {shown}: name the tags of images that are deployed, like main-*; * would count trial"
            " images among them.",
        )
        for tags, shown in (([], "[]"), (["main-*", "*"], '["main-*","*"]'))
    ),
    (
        "ecr-repository",
        {"keep_deployable": 99},
        "keep_deployable is 99: what runs in prod may be that many builds old, and would be gone; set 100 or more.",
    ),
    (
        "ecr-repository",
        {"trial_days": 0},
        "trial_days is 0: an image is needed for as long as its merge request is open; set 1 or more.",
    ),
    (
        "ecr-repository",
        {"untagged_days": 0},
        "untagged_days is 0: an image is without a tag while it is pushed; set 1 or more.",
    ),
    *(
        (
            "ecr-repository",
            {"pullers": [puller]},
            f"pullers of airflow/sales must be ARNs of users, roles or an account, without wildcards; got {puller}.",
        )
        for puller in ("*", "arn:aws:iam::123456789012:role/*")
    ),
    (
        "job-role",
        {"managed_policy_arns": {"lake": "lake-read"}},
        "Policies of the jobs of sales must be ARNs of managed policies; got lake-read.",
    ),
    (
        "job-role",
        {"managed_policy_arns": {"all": "arn:aws:iam::aws:policy/AdministratorAccess"}},
        "Jobs of sales would get AdministratorAccess: whoever publishes a DAG could then do anything in the account;"
        " name a policy of what they need.",
    ),
    (
        "observability",
        {"retention_days": 91},
        "retention_days is 91: CloudWatch takes 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096,"
        " 1827, 2192, 2557, 2922, 3288 or 3653.",
    ),
    *(
        (
            "oidc-provider",
            {"url": url},
            f'"{url}" is no issuer: it begins with https:// and has no slash at its end.',
        )
        for url in ("gitlab.com", "https://gitlab.com/", "http://gitlab.com")
    ),
    *(
        (
            "operator-role",
            {"principals": principals},
            "Operators of dev must be ARNs of users, roles or an account, without wildcards; got"
            f" {', '.join(principals)}.",
        )
        for principals in ([], ["*"], [ROLE, "arn:aws:iam::aws:policy/ReadOnlyAccess"])
    ),
    *(
        (
            "package-role",
            {"package": name},
            f'"{name}" is no package name: use 2 to 40 lower-case letters, digits and single underscores, a letter'
            " first.",
        )
        # 70 letters are too long for a role, too: it is said once.
        for name in ("Sales-Reports", "x", "a" * 41, "a" * 70, "a__b", "1st")
    ),
    (
        "package-role",
        {"environment": "production", "package": "a" * 40},
        f"The role name airflow-production-publish-{'a' * 40} has more than the 64 characters that IAM takes: choose a"
        " shorter environment or package name.",
    ),
    *(
        (
            "package-role",
            {"github": {"repository": repository}},
            f"Package sales: github.repository is {shown}; give one repository as owner/name, without wildcards.",
        )
        for repository, shown in [
            ("acme/*", '"acme/*"'),
            ("acme", '"acme"'),
            ("https://github.com/acme/x", '"https://github.com/acme/x"'),
            (None, "null"),
        ]
    ),
    *(
        (
            "package-role",
            {"github": GITHUB | {"branch": branch}},
            f'Package sales: github.branch is "{branch}"; name one branch, without wildcards.',
        )
        for branch in ("*", "release/?", "")
    ),
    *(
        (
            "package-role",
            {"gitlab": {"project": project}},
            f'Package sales: gitlab.project is "{project}"; give one project as group/name, without wildcards.',
        )
        for project in ("acme/*", "sales")
    ),
    (
        "package-role",
        {"gitlab": GITLAB | {"branch": "rel*"}},
        'Package sales: gitlab.branch is "rel*"; name one branch, without wildcards.',
    ),
    (
        "package-role",
        {"gitlab": GITLAB | {"branch": "production"}, "approval_environment": "production"},
        'Package sales: gitlab.branch is "production", the name of the approval environment, so that nothing would be'
        " approved: publish from another branch.",
    ),
    *(
        (
            "package-role",
            {"approval_environment": name},
            f'approval_environment is "{name}": name one environment, without wildcards.',
        )
        for name in ("prod*", "")
    ),
    (
        "package-role",
        {"github": None},
        "Nobody publishes package sales to dev: give it github, gitlab, or publishers with the ARN of a user or role,"
        " or take dev out of its environments.",
    ),
    *(
        (
            "package-role",
            {"principals": [principal]},
            "Publishers of package sales must be ARNs of users, roles or an account, without wildcards; got"
            f" {principal}.",
        )
        for principal in ("*", "arn:aws:iam::123456789012:role/*", f"{PROVIDER}/gitlab.com")
    ),
    *(
        (
            "secrets-read",
            {"prefixes": prefixes},
            f"prefixes are {shown}: name at least one, of two parts or more, like airflow/dev/connections; anything"
            " shorter would open every secret of the account.",
        )
        for prefixes, shown in [([], "[]"), (["airflow"], '["airflow"]'), (["airflow/*"], '["airflow/*"]')]
    ),
    (
        "service-account-role",
        {"name": "a" * 65},
        f"The role name {'a' * 65} has more than the 64 characters that IAM takes: choose a shorter environment or"
        " package name.",
    ),
    *(
        (
            "service-account-role",
            {"service_accounts": {"namespace": "airflow", "names": names}},
            f'service_accounts are {json.dumps(names)} in "airflow": give a namespace and at least one name, each of'
            " lower-case letters, digits and hyphens, without wildcards.",
        )
        for names in ([], ["*"], ["risk_reports"])
    ),
    *(
        (
            "service-account-role",
            {"cluster": CLUSTER | {"identity": identity}},
            f'cluster.identity is "{identity}": use irsa or pod_identity.',
        )
        for identity in ("IRSA", "")
    ),
    (
        "service-account-role",
        {"cluster": CLUSTER | {"identity": "irsa"}},
        "cluster.identity is irsa and cluster.oidc_provider_arn is missing: give the ARN of the cluster's OIDC"
        " provider.",
    ),
    (
        "service-account-role",
        {"cluster": CLUSTER | {"identity": "irsa", "oidc_provider_arn": "https://oidc.eks.amazonaws.com/id/1"}},
        "cluster.identity is irsa and cluster.oidc_provider_arn is https://oidc.eks.amazonaws.com/id/1: give the ARN"
        " of the cluster's OIDC provider.",
    ),
    (
        "service-account-role",
        {"principals": ["*"]},
        "principals must be ARNs of users, roles or an account, without wildcards; got *.",
    ),
    (
        "service-account-role",
        {"cluster": None},
        "Nobody could take role airflow-dev-worker: give a cluster, or name principals.",
    ),
]

OF_ROOTS = [
    (
        "dev",
        {
            "environment": "prod",  # whose own file names an approval
            "packages": {"Sales-Reports": {"github": GITHUB}, "sales": {"github": GITHUB}, "sales_eu": {}, "x": {}},
            "cluster": {"name": "main"},
            "readers": ["*"],
            "bucket": {"name": "airflow-dags-dev"},
            "issuers": {"gitlab": "https://gitlab.example.org"},
            "registry": {"account": "210987654321"},  # dev pushes
        },
        [
            'packages has "Sales-Reports", "x": name a package with 2 to 40 lower-case letters, digits and single'
            " underscores, a letter first.",
            'Package "sales_eu" begins with the name of package "sales" and an underscore, so that DAG ids could belong'
            " to either: rename one of them.",
            "prod has no approval_environment, so that every push to a main branch would reach production: name the"
            ' GitHub environment or protected GitLab branch, like "production".',
            "cluster.issuer is missing: give the issuer of main (aws eks describe-cluster --name main --query"
            " cluster.identity.oidc.issuer), or set identity to pod_identity.",
            "readers must be ARNs of users, roles or an account, without wildcards; got *.",
            "issuers are token.actions.githubusercontent.com, https://gitlab.example.org: give the hosts alone, like"
            " gitlab.example.org, without https:// and without a slash at the end.",
            "push_images is true and the images are in account 210987654321, whose repositories let others pull alone:"
            " push from an environment of that account.",
            'bucket.name is "airflow-dags-dev", without the name of environment prod: put that into it, or leave'
            " bucket.name out.",
        ],
    ),
    (
        "prod",
        {"environment": "pointers"},  # its files would lie among the pointers of the others
        [
            '"pointers" is no environment name: use 2 to 40 lower-case letters, digits and single hyphens, a letter'
            " first, and none of logs, manifests, pointers, account, which are taken.",
        ],
    ),
    (
        "staging",
        {
            "packages": {
                "sales": {"github": GITHUB, "environments": ["dev", "stagging"]},
                "finance": {"gitlab": GITLAB, "publishers": {"production": [ROLE]}},
            },
            "approval_environment": "*",
            "cluster": {"name": "main", "identity": "Pod Identity"},
        },
        # Each once, though the modules of both packages and of all components would refuse it as well.
        [
            'approval_environment is "*": name one environment, without wildcards.',
            'cluster.identity is "Pod Identity": use irsa or pod_identity.',
            "packages name environments that have no terraform/environments/<name>.tfvars: production, stagging; there"
            " are demo, dev, prod, staging.",
        ],
    ),
    (
        "demo",
        {"bucket": {"vpc_endpoint_ids": ["vpce-0123456789abcdef0"], "exempt_from_vpc_endpoints": [ROLE]}},
        [
            "bucket.exempt_from_vpc_endpoints lacks the user or role that Terraform runs as here,"
            " arn:aws:iam::123456789012:user/administrator, which would lock itself out of the bucket: add its ARN.",
        ],
    ),
    (
        "account",
        {"packages": {"sales": {}, "sales-eu": {}}},
        [
            'packages has "sales-eu": name a package with 2 to 40 lower-case letters, digits and single underscores, a'
            " letter first.",
        ],
    ),
]

SENTENCES = {sentence for *_, sentence in OF_MODULES} | {s for *_, sentences in OF_ROOTS for s in sentences}
RULE = re.compile(r"^ +(?:validation|precondition|postcondition|assert) \{$", re.MULTILINE)


def rules():
    """File below terraform/ and line of every rule."""
    return [
        (str(file.relative_to(TERRAFORM)), text.count("\n", 0, rule.start()) + 1)
        for file in sorted(TERRAFORM.rglob("*.tf"))
        if ".terraform" not in file.parts
        for text in [file.read_text()]
        for rule in RULE.finditer(text)
    ]


@pytest.fixture(scope="module")
def of_the_modules(aws, tmp_path_factory):
    """One plan with all that modules refuse: Terraform reports every one."""
    cases = {f"case_{n}": (module, GOOD[module] | bad) for n, (module, bad, _) in enumerate(OF_MODULES)}
    return Modules(tmp_path_factory.mktemp("refusals"), aws.admin).refusals(
        "root",
        # By way of a variable: what is known before the plan is refused before the plan, and the rest never looked at.
        variable={case: {"default": arguments} for case, (_, arguments) in cases.items()},
        module={
            case: {"source": f"../modules/{module}"} | {name: f"${{var.{case}.{name}}}" for name in arguments}
            for case, (module, arguments) in cases.items()
        },
    )


@pytest.fixture(scope="module")
def of_the_roots(manage):
    """One plan for each root and environment in the table."""
    manage.ok("init", "account")  # its plan reads the bucket of states
    return {environment: manage.refusals(environment, **variables) for environment, variables, _ in OF_ROOTS}


@pytest.mark.parametrize("sentence", [pytest.param(s, id=f"{m}-{n}") for n, (m, _, s) in enumerate(OF_MODULES)])
def test_a_module_refuses(of_the_modules, sentence):
    assert sentence in [refusal.sentence for refusal in of_the_modules]


def test_a_mistake_in_a_module_is_one_sentence(of_the_modules):
    assert [refusal.sentence for refusal in of_the_modules] == sorted(sentence for *_, sentence in OF_MODULES)


@pytest.mark.parametrize(("environment", "sentences"), [(e, sentences) for e, _, sentences in OF_ROOTS])
def test_a_root_refuses_each_mistake_once(of_the_roots, environment, sentences):
    assert [refusal.sentence for refusal in of_the_roots[environment]] == sorted(sentences)


def test_every_rule_has_its_sentence_here(of_the_modules, of_the_roots):
    """A rule without a test may be one that nothing reaches, or whose sentence cannot be built."""
    known = rules()
    refusals = [r for r in chain(of_the_modules, *of_the_roots.values()) if r.sentence in SENTENCES]
    # Of a precondition Terraform names the line of the condition, below the rule's first.
    above = [[rule for rule in known if rule[0] == r.file and rule[1] <= r.line] for r in refusals]
    reached = {max(rules) for rules in above if rules}  # none where the rule is in a protocol.tf.json
    never = [f"terraform/{file}:{line}" for file, line in known if (file, line) not in reached]
    assert not never, "\n".join(["add what these refuse to the tables above:", *never])


def test_no_rule_is_overlooked():
    texts = [file.read_text() for file in TERRAFORM.rglob("*.tf") if ".terraform" not in file.parts]
    assert len(rules()) == sum(text.count("error_message ") for text in texts) > 0


@pytest.mark.parametrize("sentence", sorted(SENTENCES), ids=range(len(SENTENCES)))
def test_a_sentence_is_short_and_whole(sentence):
    """One or two, with a way out behind what is wrong."""
    assert re.fullmatch(r'["\w].*[:;,] .*\.', sentence)
    assert len(re.findall(r"\.(?= |$)", sentence)) <= 2
