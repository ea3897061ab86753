"""manage.sh render, diff and deploy, as an operator sees them."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from cryptography.fernet import Fernet

from scripts.manage.layers.chart import archive
from scripts.pinned import ROOT
from tests.helpers.charts import ENVIRONMENTS, Case, Manifest, manifests, official, ours
from tests.manage.conftest import Operator

needs_archive = pytest.mark.skipif(archive() is None, reason="the official chart's archive is not here (make tools)")
OUTPUTS = ("--outputs", "outputs.json")
HISTORY = '[{"revision": 6, "status": "superseded"}, {"revision": 7, "status": "deployed"}, {"revision": 8, "status": "failed"}]'


def arguments(case: Case) -> tuple[str, ...]:
    """What an environment needs on the command line."""
    return OUTPUTS if "platform/cloud" in case.layers else ()


def outputs_of(operator: Operator, case: Case) -> None:
    """Make the example the environment's own."""
    operator.edit("outputs.json", '"environment": "dev"', f'"environment": "{case}"')


def without_checksums(documents: list[Manifest]) -> str:
    """As text: the digests are of the environment's name too."""
    return re.sub(r'"checksum/[^"]*": "[^"]*"', "", json.dumps(documents))


# --- render -------------------------------------------------------------------------------------------------------------


@needs_archive
@pytest.mark.parametrize("case", ENVIRONMENTS, ids=str)
def test_render_prints_what_the_policies_looked_at(operator: Operator, case: Case) -> None:
    outputs_of(operator, case)
    done = operator("render", str(case), *arguments(case))
    assert done.returncode == 0, done.stderr
    wanted = [yaml.safe_load(json.dumps(m).replace("dev", str(case))) for m in ours(case) + official(case)]
    rendered = [yaml.safe_load(json.dumps(m).replace("dev", str(case))) for m in manifests(done.stdout)]
    assert without_checksums(rendered) == without_checksums(wanted)
    assert not operator.calls, "rendering asks no cluster"


@needs_archive
def test_render_of_the_pi_warns_that_logs_end_with_their_pod(operator: Operator) -> None:
    operator.edit("values/env/pi.yaml", "domain: example.org", "domain: acme.io")
    operator.edit("values/env/pi.yaml", "example-org", "acme")
    assert operator("render", "pi").stderr == (
        "warning: remoteLogs.bucket is empty in values/env/pi.yaml: task logs end with their pod; name an S3-compatible bucket.\n"
    )
    operator.edit("values/env/pi.yaml", 'bucket: ""', 'bucket: "airflow-logs"')
    done = operator("render", "pi")
    assert (done.returncode, done.stderr) == (0, "")
    assert "remote_logging = True\n" in done.stdout and "= s3://airflow-logs/airflow-logs\n" in done.stdout


@needs_archive
def test_the_guide_s_list_env_sets_the_interval(operator: Operator) -> None:
    """guide 000, Reduce Discovery Latency: DAG_SYNC_INTERVAL in the list `env` of the values."""
    assert re.search(r"name: DAG_SYNC_INTERVAL\s+value: '?1s", operator("render", "dev", *OUTPUTS).stdout)
    operator.edit("values/env/dev.yaml", "domain:", 'env: [{name: DAG_SYNC_INTERVAL, value: "15"}]\ndomain:')
    text = operator("render", "dev", *OUTPUTS).stdout
    sidecars = re.findall(r"name: DAG_SYNC_INTERVAL\s+value: '?\"?([0-9s]+)", text)
    assert sidecars and set(sidecars) == {"15"}


def test_a_misspelt_key_is_named_with_file_line_and_the_nearest_key(operator: Operator) -> None:
    operator.edit(
        "values/platform/pi.yaml", "  resources:\n    requests: {cpu: 300m", "  resuorces:\n    requests: {cpu: 300m"
    )
    done = operator("render", "pi")
    assert (done.returncode, done.stdout) == (2, "")
    line = (operator.folder / "values/platform/pi.yaml").read_text().splitlines().index("  resuorces:") + 1
    assert f"values/platform/pi.yaml:{line}: " in done.stderr
    assert "scheduler.resuorces" in done.stderr and "scheduler.resources" in done.stderr
    assert done.stderr in (ROOT / "README.md").read_text(), "README shows what is printed"
    assert "Traceback" not in done.stderr and "1 wrong key in the layers of pi; nothing was rendered." in done.stderr


def test_a_misspelt_key_for_our_own_chart_is_named_as_well(operator: Operator) -> None:
    operator.edit("values/airflow-platform/env/pi.yaml", "defaultPackage", "defaultPakage")
    done = operator("render", "pi")
    assert done.returncode == 2 and "values/airflow-platform/env/pi.yaml:" in done.stderr
    assert "policy.defaultPakage" in done.stderr and "policy.defaultPackage" in done.stderr


def test_two_deliveries_are_refused(operator: Operator) -> None:
    operator.edit(
        "values/environments.yaml", "platform/pi, delivery/git-sync", "platform/pi, delivery/image, delivery/git-sync"
    )
    done = operator("render", "pi")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        "environments.pi: delivery/image and delivery/git-sync cannot be combined; keep one layer of delivery."
        in done.stderr
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("render", "dev"), "dev needs what Terraform made: 'manage.sh output dev --file outputs-dev.json', then add --outputs outputs-dev.json."),
        (("render", "dev", "--outputs", "nowhere.json"), "nowhere.json cannot be read as the outputs of an environment"),
        (("render", "dev", "--outputs", "versions.yaml"), "versions.yaml cannot be read as the outputs of an environment"),
        (("render", "demo", *OUTPUTS), "there is no environment demo; there are: dev staging prod pi."),
        (("deploy", "dev", *OUTPUTS), "deploy dev asks before it changes anything, and there is no terminal to ask on; add --yes."),
        (("deploy", "prod", "--auto-approve", *OUTPUTS), "deploy prod changes production; look at 'manage.sh diff prod', then add --yes."),
    ],
)  # fmt: skip
def test_wrong_use_is_one_sentence_and_exit_code_2(operator: Operator, words: tuple[str, ...], says: str) -> None:
    done = operator(*words)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert says in done.stderr and "Traceback" not in done.stderr
    assert not [call for call in operator.calls if "upgrade" in call]


def test_outputs_of_another_shape_are_refused_by_the_name_of_the_key(operator: Operator) -> None:
    operator.edit("outputs.json", '"scheduler"', '"schedular"')
    done = operator("render", "dev", *OUTPUTS)
    assert done.returncode == 2 and "outputs.json: roles: " in done.stderr and "schedular" in done.stderr


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bucket", "packages\\n  evil: true"), ("bucket", "packages\\n"), ("bucket", "Packages"), ("bucket", "{{ .Values }}"),
        ("region", "eu-central-1\\n"), ("region", "eu central"), ("environment", "dev\\n"),
    ],
)  # fmt: skip
def test_outputs_with_a_line_break_or_a_template_are_refused(operator: Operator, field: str, value: str) -> None:
    """Adversary 19: they were rendered into the environments of pods and into airflow.cfg."""
    text = (operator.folder / "outputs.json").read_text()
    changed = re.sub(rf'("{field}": )"[^"]*"', lambda found: f'{found[1]}"{value}"', text, count=1)
    assert changed != text
    (operator.folder / "outputs.json").write_text(changed)
    done = operator("render", "dev", *OUTPUTS)
    assert (done.returncode, done.stdout) == (2, "") and f"outputs.json: {field}: " in done.stderr


def test_another_chart_than_the_pinned_one_is_refused(operator: Operator, tmp_path: Path) -> None:
    other = tmp_path / "airflow.tgz"
    other.write_bytes(b"not the chart")
    done = operator("render", "pi", AIRFLOW_CHART_FILE=str(other))
    assert done.returncode == 3 and f"{other} has sha256 " in done.stderr and "versions.yaml pins" in done.stderr
    done = operator("render", "pi", AIRFLOW_CHART_FILE=str(tmp_path / "gone.tgz"))
    assert done.returncode == 3 and "there is no such file" in done.stderr


def test_without_the_chart_it_is_pulled_or_said_where_to_put_it(operator: Operator, tmp_path: Path) -> None:
    done = operator("render", "pi", XDG_CACHE_HOME=str(tmp_path / "cache"), FAILS="pull airflow")
    assert done.returncode == 3 and "could not be pulled from https://airflow.apache.org" in done.stderr
    assert f"put its archive at {tmp_path}/cache/airflow-platform/charts/airflow-1.22.0.tgz" in done.stderr
    [pull] = operator.calls
    assert pull.startswith("helm pull airflow --repo https://airflow.apache.org --version 1.22.0 ")


# --- deploy -------------------------------------------------------------------------------------------------------------


@needs_archive
@pytest.mark.parametrize("case", ENVIRONMENTS, ids=str)
def test_dry_run_prints_plain_lines_and_calls_nobody(operator: Operator, case: Case) -> None:
    outputs_of(operator, case)
    done = operator("deploy", str(case), "--dry-run", *arguments(case))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert not [call for call in operator.calls if "current-context" not in call]
    upgrades = [line for line in lines if line.startswith("helm upgrade --install ")]
    assert [line.split()[3:5] for line in upgrades] == [
        ["airflow-platform", "charts/airflow-platform"],
        ["airflow", "apache-airflow/airflow"],
    ]
    assert "--version 1.22.0" in upgrades[1]
    for line, wanted in zip(upgrades, (case.our_files, case.files), strict=True):
        named = re.findall(r"--values (\S+)", line)
        assert [Path(name).name for name in named if not name.endswith(".json")] == [
            f.name for f in wanted if f.suffix != ".json"
        ]
        assert all((operator.folder / name).exists() for name in named)


@needs_archive
def test_deploy_does_its_steps_in_order(operator: Operator) -> None:
    done = operator("deploy", "pi", "--yes", "--context", "pis")
    assert done.returncode == 0, done.stderr
    steps = [re.sub(r"--(kube-)?context pis ", "", call) for call in operator.calls if not call.startswith("  ")]
    steps = [
        step
        for step in steps
        if " get " not in step
        and step != "kubectl --context pis version"
        and step != "kubectl version"
        and not step.startswith(("helm history", "helm list"))
    ]
    assert [" ".join(step.split()[:5]) for step in steps] == [
        "kubectl create secret generic airflow-keys",
        "kubectl create secret generic airflow-admin",
        "kubectl create secret generic airflow-database",
        "helm upgrade --install airflow-platform charts/airflow-platform",
        "kubectl delete jobs --namespace airflow",
        f"helm upgrade --install airflow {archive()}",
    ]
    assert all(flag in step for step in (steps[3], steps[5]) for flag in ("--wait", "--timeout 20m"))
    assert all("pis" in call for call in operator.calls if not call.startswith("  ")), "every call goes to that cluster"
    assert "deploy pi, context pis, namespace airflow, chart airflow 1.22.0 sha256 1f7d1dfe3d58" in done.stderr


@needs_archive
def test_the_secrets_are_good_different_each_time_and_never_shown(operator: Operator) -> None:
    done = operator("deploy", "pi", "--yes")
    made = dict(call[2:].split("=", 1) for call in operator.calls if call.startswith("  "))
    Fernet(made["fernet-key"].encode())
    assert len(made["jwt-secret"]) >= 64 and len(made["api-secret-key"]) >= 32 and len(made["password"]) >= 24
    assert (
        made["connection"]
        == f"postgresql://postgres:{made['postgres-password']}@airflow-postgresql.airflow:5432/postgres"
    )
    assert not [value for value in made.values() if value in done.stdout + done.stderr]
    assert not [call for call in operator.calls if not call.startswith("  ") and made["jwt-secret"] in call], (
        "nor in a process list"
    )
    Path(operator.env["CALLS"]).unlink()
    operator("deploy", "pi", "--yes")
    again = dict(call[2:].split("=", 1) for call in operator.calls if call.startswith("  "))
    assert not set(made.values()) & set(again.values())


@needs_archive
def test_the_secrets_that_are_there_are_kept(operator: Operator) -> None:
    operator("deploy", "pi", "--yes", SECRETS="airflow-keys airflow-database airflow-admin")
    assert not [call for call in operator.calls if " create secret" in call]


@needs_archive
def test_celery_gets_a_broker_and_flower_a_password(operator: Operator) -> None:
    operator.edit(
        "values/environments.yaml",
        "delivery/git-sync, executor/local, env/pi",
        "delivery/git-sync, executor/celery, options/flower, env/pi",
    )
    done = operator("deploy", "pi", "--yes", SECRETS="airflow-keys airflow-database airflow-admin")
    assert done.returncode == 0, done.stderr
    made = dict(call[2:].split("=", 1) for call in operator.calls if call.startswith("  "))
    assert made["connection"] == f"redis://:{made['password']}@airflow-redis:6379/0"
    assert re.fullmatch(r"flower:[0-9a-f]{32}", made["basicAuth"])


@needs_archive
def test_the_cloud_s_database_is_asked_for_once(operator: Operator) -> None:
    done = operator("deploy", "dev", "--yes", *OUTPUTS)
    assert (
        done.returncode == 2
        and "set AIRFLOW_DATABASE_URL=postgresql://user:password@host:5432/database once" in done.stderr
    )
    assert not [call for call in operator.calls if "create secret" in call or "upgrade" in call], "nothing was begun"
    url = "postgresql://airflow:s%40fe@db.example.org:5432/airflow"
    done = operator("deploy", "dev", "--yes", *OUTPUTS, AIRFLOW_DATABASE_URL=url)
    assert done.returncode == 0, done.stderr
    assert [call for call in operator.calls if '"name": "airflow-database"' in call]
    assert "s@fe" not in done.stdout + done.stderr


@needs_archive
def test_when_airflow_fails_our_chart_goes_back_too(operator: Operator) -> None:
    done = operator("deploy", "pi", "--yes", HISTORY=HISTORY, FAILS="upgrade --install airflow /")
    assert done.returncode == 1
    later = operator.calls[next(n for n, call in enumerate(operator.calls) if "--install airflow /" in call) :]
    assert [" ".join(call.split()[:4]) for call in later[1:]] == [
        "kubectl delete jobs --namespace",  # the Jobs cannot be changed: no rollback while they are there
        "helm rollback airflow 7",
        "helm rollback airflow-platform 7",
    ]
    assert (
        "Airflow is as it was before, but a migration of the database may have run; see 'kubectl get pods,events --namespace airflow', then run the same command again"
        in done.stderr
    )


@needs_archive
def test_when_our_chart_fails_airflow_is_not_touched(operator: Operator) -> None:
    done = operator("deploy", "pi", "--yes", FAILS="upgrade --install airflow-platform")
    assert done.returncode == 1 and "Airflow was not touched" in done.stderr
    assert not [call for call in operator.calls if "--install airflow " in call or "delete jobs" in call]


@needs_archive
@pytest.mark.parametrize(("differs", "code"), [("0", 0), ("1", 4), ("2", 1)])
def test_diff_says_by_its_exit_code_whether_something_would_change(operator: Operator, differs: str, code: int) -> None:
    done = operator("diff", "pi", DIFF=differs)
    assert done.returncode == code, done.stderr


def test_the_lines_for_secrets_run_by_hand(operator: Operator) -> None:
    """What --dry-run prints is what deploy runs."""
    done = operator("deploy", "pi", "--dry-run")
    if archive() is None:
        pytest.skip("the official chart's archive is not here (make tools)")
    lines = "\n".join(line for line in done.stdout.splitlines() if " secret " in line)
    subprocess.run(["bash", "-c", lines], check=True, env={**operator.env}, cwd=operator.folder)
    assert len([call for call in operator.calls if " create secret generic " in call]) == 3


@needs_archive
def test_outputs_of_another_environment_are_refused(operator: Operator) -> None:
    done = operator("render", "staging", *OUTPUTS)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        "outputs.json is of dev, not of staging; make it with 'manage.sh output staging --file outputs-staging.json'."
        in done.stderr
    )
    assert "pi has no AWS side; leave --outputs out." in operator("render", "pi", *OUTPUTS).stderr


@needs_archive
@pytest.mark.parametrize("words", [("render",), ("deploy", "--yes"), ("deploy", "--dry-run"), ("diff",)], ids=" ".join)
def test_what_the_charts_refuse_is_one_sentence_and_touches_nothing(operator: Operator, words: tuple[str, ...]) -> None:
    operator.edit("values/env/pi.yaml", "domain:", "dagProcessor: {replicas: 2}\ndomain:")
    done = operator(words[0], "pi", *words[1:])
    assert (done.returncode, done.stdout) == (2, "")
    assert "\nmanage.sh: dagProcessor.replicas is not 1: processors whose folders differ" in done.stderr
    assert "--debug" not in done.stderr and "templates/" not in done.stderr
    assert not [call for call in operator.calls if "current-context" not in call]


def test_a_key_of_the_other_chart_is_said_to_be_one(operator: Operator) -> None:
    operator.edit("values/env/pi.yaml", "domain:", "dagAdopter: {period: 5}\ndomain:")
    said = operator("render", "pi").stderr
    assert (
        "values/env/pi.yaml" in said
        and "dagAdopter is a key of the other chart: values/airflow-platform/env/pi.yaml" in said
    )


def test_a_list_that_would_replace_another_is_refused(operator: Operator) -> None:
    operator.edit("values/env/pi.yaml", "domain:", "volumes: [{name: x, emptyDir: {}}]\ndomain:")
    done = operator("render", "pi")
    assert done.returncode == 2
    assert (
        "values/env/pi.yaml: the list volumes would replace that of values/base.yaml; write all of it into one of them."
        in done.stderr
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("executor/local, env/pi]", "executor/local, env/pi", "values/environments.yaml:"),
        (
            "executor/local, env/pi]",
            "executor/local, env/dev]",
            "environments.pi: env/dev is another's; the last layer is env/pi.",
        ),
    ],
)
def test_a_wrong_list_of_environments_is_one_sentence(operator: Operator, old: str, new: str, says: str) -> None:
    operator.edit("values/environments.yaml", old, new)
    done = operator("render", "pi")
    assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr


def test_values_on_the_command_line_are_refused(operator: Operator) -> None:
    done = operator("render", "pi", "--", "--set", "scheduler.replicas=2")
    assert done.returncode == 2 and "write it into values/env/pi.yaml" in done.stderr


@needs_archive
def test_dry_run_names_the_context(operator: Operator) -> None:
    lines = operator("deploy", "pi", "--dry-run", "--context", "my pis", "--", "--timeout", "60m").stdout.splitlines()
    assert "kubectl config use-context my\\ pis" in lines and all(
        "--timeout 60m" in line for line in lines if line.startswith("helm upgrade")
    )


def test_a_cluster_that_does_not_answer_is_one_sentence(operator: Operator) -> None:
    done = operator("status", "pi", "--context", "gone", CLUSTER="gone")
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr.splitlines()[-1]
        == "manage.sh: the cluster of context gone does not answer; name another with --context, or another file in KUBECONFIG."
    )


@needs_archive
def test_diff_before_the_first_deploy_says_that_all_is_new(operator: Operator) -> None:
    done = operator("diff", "pi", NAMESPACE="gone")
    assert done.returncode == 4 and "the namespace airflow is not there: everything" in done.stdout


@needs_archive
@pytest.mark.parametrize("fails", ["list --namespace", "history airflow"])
def test_a_release_whose_history_cannot_be_read_is_not_touched(operator: Operator, fails: str) -> None:
    """An answer that did not come must never look like a first deploy: that one is taken away again."""
    done = operator("deploy", "pi", "--yes", HISTORY=HISTORY, FAILS=fails)
    assert done.returncode == 1 and "cannot be read; nothing was changed." in done.stderr
    assert not [call for call in operator.calls if "upgrade" in call or "uninstall" in call or "create" in call]


@needs_archive
def test_a_release_that_never_was_well_is_left_for_people(operator: Operator) -> None:
    done = operator(
        "deploy", "pi", "--yes", HISTORY='[{"revision": 1, "status": "failed"}]', FAILS="upgrade --install airflow /"
    )
    assert (
        done.returncode == 1
        and "airflow was not taken back; 'helm history airflow --namespace airflow' shows where it stands."
        in done.stderr
    )
    assert not [call for call in operator.calls if "uninstall" in call or "rollback" in call]


@needs_archive
def test_a_first_deploy_that_fails_leaves_nothing_behind(operator: Operator) -> None:
    done = operator("deploy", "pi", "--yes", FAILS="upgrade --install airflow /")
    assert done.returncode == 1
    assert [call.split()[2] for call in operator.calls if call.startswith("helm uninstall")] == [
        "airflow",
        "airflow-platform",
    ]


@needs_archive
@pytest.mark.parametrize("words", [("deploy", "pi", "--yes"), ("diff", "pi"), ("status", "pi")])
def test_another_environment_in_the_cluster_is_not_touched(operator: Operator, words: tuple[str, ...]) -> None:
    """`deploy pi` replaced a running dev without a word, and kept its secret, which has no password for PostgreSQL."""
    done = operator(*words, HISTORY=HISTORY, DEPLOYED="dev")
    assert (done.returncode, done.stdout) == (2, "")
    said = done.stderr.splitlines()[-1]
    assert said.startswith(
        "manage.sh: the cluster of context test-cluster has environment dev, not pi; nothing was touched."
    )
    assert "--context" in said and said.endswith("take that one out first: docs/how-to/deploy.md.")
    changes = (" upgrade ", " create ", " delete ", " rollback ", " uninstall ")
    assert not [call for call in operator.calls if any(change in f" {call} " for change in changes)]


@needs_archive
@pytest.mark.parametrize("words", [("deploy", "pi", "--yes"), ("diff", "pi"), ("status", "pi")])
@pytest.mark.parametrize("fails", ["get values", "list --namespace"])
def test_which_environment_it_is_must_be_readable(operator: Operator, words: tuple[str, ...], fails: str) -> None:
    done = operator(*words, HISTORY=HISTORY, DEPLOYED="pi", FAILS=fails)
    assert done.returncode == 1 and "cannot be read; nothing was changed." in done.stderr


@needs_archive
def test_a_secret_that_lacks_a_key_stops_before_anything_is_touched(operator: Operator) -> None:
    """Pods would wait for it until the deploy's time is over."""
    keys = "fernet-key api-secret-key jwt-secret username password connection"
    done = operator("deploy", "pi", "--yes", SECRETS="airflow-keys airflow-database", KEYS=keys, NAMESPACE="gone")
    assert done.returncode == 2
    assert (
        "pods of pi read keys that secrets in airflow lack: airflow-database has no postgres-password; nothing"
        in done.stderr
    )
    assert not [call for call in operator.calls if "create" in call or "upgrade" in call]


@needs_archive
@pytest.mark.parametrize("env", ["dev", "pi"])
def test_the_keys_that_are_asked_for_are_those_that_pods_read(operator: Operator, env: str) -> None:
    """No list of its own: the inventory has what pods read."""
    inventory = (ROOT / "tests/render/inventory" / f"{env}.yaml").read_text()
    read = set(re.findall(r"from secret (airflow-(?:keys|admin|database))/(\S+?)(?=[,\s\]])", inventory))
    assert len(read) >= 6
    outputs = OUTPUTS if env == "dev" else ()
    done = operator(
        "deploy", env, "--yes", *outputs, SECRETS="airflow-keys airflow-admin airflow-database", KEYS="other"
    )
    assert done.returncode == 2
    lacks = {name: re.search(rf"{name} has no ([^,;]*)", done.stderr) for name, _ in read}
    assert {(name, key) for name, found in lacks.items() if found for key in found[1].split()} >= read


@needs_archive
def test_a_wrong_database_url_touches_nothing(operator: Operator) -> None:
    done = operator("deploy", "dev", "--yes", *OUTPUTS, AIRFLOW_DATABASE_URL="mysql://x", NAMESPACE="gone")
    assert done.returncode == 1 and done.stderr.endswith("manage.sh: nothing was touched.\n")
    assert "AIRFLOW_DATABASE_URL is not like postgresql://user:password@host:5432/database" in done.stderr
    assert not [call for call in operator.calls if "create" in call or "upgrade" in call]


@needs_archive
@pytest.mark.parametrize(("changes", "history", "restarts"), [("1", HISTORY, 1), ("", HISTORY, 0), ("1", "", 0)])
def test_pods_are_restarted_when_their_network_changed(
    operator: Operator, changes: str, history: str, restarts: int
) -> None:
    """They read the ConfigMap when they start, and the official chart rolls nothing for it."""
    done = operator("deploy", "pi", "--yes", HISTORY=history, NETWORK_CHANGES=changes)
    assert done.returncode == 0, done.stderr
    assert (
        sum("rollout restart deployment,statefulset --namespace airflow" in call for call in operator.calls) == restarts
    )


@needs_archive
def test_a_store_of_one_s_own_has_no_roles(operator: Operator) -> None:
    by_hand = '{"environment": "dev", "bucket": "packages", "region": "us-east-1", "roles": {}, "repositories": {}}'
    (operator.folder / "own.json").write_text(by_hand)
    words = ("render", "dev", "--outputs", "own.json")
    refused = operator(*words)
    assert refused.returncode == 2 and "'scheduler' is a required property" in refused.stderr
    operator.edit("values/environments.yaml", "executor/local, env/dev", "executor/local, options/own-store, env/dev")
    done = operator(*words)
    assert done.returncode == 0, done.stderr
    assert "role-arn" not in done.stdout
    other = operator("render", "dev", *OUTPUTS)
    assert other.returncode == 2 and "docs/how-to/networks.md shows one for a store of your own." in other.stderr


CELERY_WITH_ITS_OWN = ("executor/local, env/dev", "executor/celery, options/own-broker, env/dev")
ALL_BUT_THE_BROKER = {"SECRETS": "airflow-keys airflow-database airflow-admin"}


@needs_archive
def test_a_broker_of_one_s_own_is_asked_for_once(operator: Operator) -> None:
    operator.edit("values/environments.yaml", *CELERY_WITH_ITS_OWN)
    done = operator("deploy", "dev", "--yes", *OUTPUTS, **ALL_BUT_THE_BROKER)
    assert done.returncode == 2 and "set AIRFLOW_BROKER_URL=rediss://:password@host:6379/0 once" in done.stderr
    url = "rediss://:s3cr3t@cache.example.org:6379/0"
    done = operator("deploy", "dev", "--yes", *OUTPUTS, **ALL_BUT_THE_BROKER, AIRFLOW_BROKER_URL=url)
    assert done.returncode == 0, done.stderr
    [secret] = [call for call in operator.calls if '"name": "airflow-broker"' in call]
    assert json.loads(secret)["stringData"] == {"connection": f"{url}?ssl_cert_reqs=required"}
    assert "s3cr3t" not in done.stdout + done.stderr


@needs_archive
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqs://key:s3cr3t@", "is not like rediss://"),
        ("sqs://key:s3cr3t@sqs.eu-west-1.amazonaws.com", "begins with sqs://"),
        ("confluentkafka://s3cr3t@kafka:9092", "executor/kubernetes, which needs no broker"),
        ("redis://:s3cr3t@host:port/0", "is not like rediss://"),
        ("cache.example.org:6379", "is not like rediss://"),
        ("redis://:s3cr3t@one:6379/0;redis://:s3cr3t@two:6379/0", "is not like rediss://"),
    ],
)
def test_a_broker_that_does_not_work_here_is_refused(operator: Operator, url: str, says: str) -> None:
    operator.edit("values/environments.yaml", *CELERY_WITH_ITS_OWN)
    done = operator("deploy", "dev", "--yes", *OUTPUTS, **ALL_BUT_THE_BROKER, AIRFLOW_BROKER_URL=url)
    assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert "s3cr3t" not in done.stderr and not [call for call in operator.calls if "upgrade" in call]


@needs_archive
def test_a_database_that_is_to_be_verified_needs_its_ca_first(operator: Operator) -> None:
    words = ("deploy", "dev", "--yes", *OUTPUTS)
    url = "postgresql://airflow:pw@db.example.org:5432/airflow?sslmode=verify-full"
    others = {"SECRETS": "airflow-keys airflow-admin", "AIRFLOW_DATABASE_URL": url}
    done = operator(*words, **others)
    assert (
        done.returncode == 2
        and "the secret airflow-database-tls in airflow has no ca.crt; make it first" in done.stderr
    )
    assert not [call for call in operator.calls if "upgrade" in call]
    done = operator(*words, **others | {"SECRETS": "airflow-keys airflow-admin airflow-database-tls"})
    assert done.returncode == 0, done.stderr
    [secret] = [call for call in operator.calls if '"name": "airflow-database"' in call]
    assert "server_tls_sslmode = verify-full\\nserver_tls_ca_file = /opt/airflow/database-tls/ca.crt" in secret


@needs_archive
def test_the_database_of_the_pis_gets_a_certificate(operator: Operator) -> None:
    operator.edit(
        "values/environments.yaml", "executor/local, env/pi", "executor/local, options/postgresql-tls, env/pi"
    )
    done = operator("deploy", "pi", "--yes", SECRETS="airflow-keys airflow-admin airflow-database")
    assert done.returncode == 0, done.stderr
    assert [call for call in operator.calls if "create secret generic airflow-database-tls" in call]
    assert (
        sum(call.startswith(("  tls.crt=-----BEGIN CERT", "  ca.crt=-----BEGIN CERT")) for call in operator.calls) == 2
    )
