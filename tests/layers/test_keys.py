"""A misspelt key in a layer is an error that names file, line, key and the nearest valid key; see scripts/manage/layers/keys.py.

All of it holds without the chart and without Airflow; where they are at hand, the committed lists are held against them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.manage.layers import keys
from scripts.manage.layers.chart import archive
from scripts.manage.layers.keys import Problem, check, official, own_keys
from scripts.manage.layers.known import ANYTHING, KnownKeys, known_keys, parse, walk
from scripts.pinned import versions

SAMPLES = sorted((Path(__file__).parent / "samples").glob("*.yaml"))
VALUES = Path(keys.ROOT) / "values"
LAYERS = [file for file in sorted(VALUES.rglob("*.yaml")) if file.name != "environments.yaml"]


@pytest.fixture(scope="module")
def known() -> KnownKeys:
    return official().with_own(own_keys())


def problems(tmp_path: Path, text: str, known: KnownKeys) -> list[Problem]:
    file = tmp_path / "layer.yaml"
    file.write_text(text)
    return check(file, known)


def nested(path: str, value: Any = "1") -> str:
    """`a.b` as a document: `{a: {b: 1}}`."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return yaml.safe_dump(value)


# What the chart takes without a word and without effect (each was rendered), and the key that was meant.
SILENT = {
    "dagprocessor.replicas": "dagProcessor",
    "apiserver.replicas": "apiServer",
    "executer": "executor",
    "Executor": "executor",
    "dag.gitSync": "dags",
    "gitSync.enabled": "dags.gitSync.enabled",
    "dags.gitSyncc.repo": "dags.gitSync",
    "workers.celery.replica": "workers.celery.replicas",
    "workers.celery.persistance.enabled": "workers.celery.persistence",
    "workers.kubernetes.serviceaccount.create": "workers.kubernetes.serviceAccount",
    "workers.kubernetes.replicas": "workers.celery.replicas",
    "scheduler.serviceAccount.annotation": "scheduler.serviceAccount.annotations",
    "scheduler.podDisruptionBudget.enable": "scheduler.podDisruptionBudget.enabled",
    "scheduler.podDisruptionBudget.maxUnavailable": "scheduler.podDisruptionBudget.config.maxUnavailable",
    "scheduler.securityContexts.containers": "scheduler.securityContexts.container",
    "scheduler.securityContexts.pods": "scheduler.securityContexts.pod",
    "ingress.apiserver": "ingress.apiServer",
    "ingress.webserver": "ingress.apiServer",
    "ingress.web.enabled": "ingress.apiServer.enabled",
    "webserver.replicas": "apiServer.replicas",
    "postgresql.persistence.size": "postgresql.primary.persistence.size",
    "postgresql.primary.persistance": "postgresql.primary.persistence",
    "fernetKeySecret": "fernetKeySecretName",
    "fernetKeySecretname": "fernetKeySecretName",
    "jwtSecretname": "jwtSecretName",
    "enableServiceLink": "enableServiceLinks",
    "networkPolicy": "networkPolicies",
    "serviceMonitor": "postgresql.metrics.serviceMonitor",
    "prometheusRule": "postgresql.metrics.prometheusRule",
    "kerberos.enable": "kerberos.enabled",
    "pgbouncer.ssl.caa": "pgbouncer.ssl.ca",
    "dags.gitSync.livenessProbe.periodSecnds": "dags.gitSync.livenessProbe.periodSeconds",
    "dags.gitSync.securityContexts.containers": "dags.gitSync.securityContexts.container",
    "config.dag_procesor.refresh_interval": "config.dag_processor",
    "config.dag_processor.refresh_intervall": "config.dag_processor.refresh_interval",
    "config.scheduler.dag_dir_list_interval": "config.dag_processor.refresh_interval",
    "config.scheduler.refresh_interval": "config.dag_processor.refresh_interval",
    "scheduler.resources.requests.cpuu": "scheduler.resources.requests.cpu",
    "dagSync.intervall": "dagSync.interval",
    "roles.dagProcessor": "roles.dag_processor",
}


@pytest.mark.parametrize(("wrong", "meant"), SILENT.items())
def test_what_renders_without_effect_is_named_with_the_key_that_was_meant(wrong, meant, tmp_path, known):
    (problem,) = problems(tmp_path, nested(wrong), known)
    assert problem.nearest == meant
    assert wrong.startswith(problem.key)
    assert str(problem).startswith(f"{tmp_path}/layer.yaml:{len(problem.key.split('.'))}: `{problem.key}` is ")
    assert f"`{meant}`" in problem.text


@pytest.mark.parametrize("path", ["foo.bar", "redis.serviceAccount.x"])
def test_what_resembles_nothing_is_named_all_the_same(path, tmp_path, known):
    (problem,) = problems(tmp_path, nested(path), known)
    assert path.startswith(problem.key)
    assert problem.nearest


def test_a_key_that_resembles_no_sibling_is_answered_with_the_siblings(tmp_path, known):
    (problem,) = problems(tmp_path, nested("redis.serviceAccount.x"), known)
    assert "takes annotations, automountServiceAccountToken, create, name" in problem.text


REPLACED = {
    "workers.replicas": "`workers.celery.replicas`",
    "workers.resources": "`workers.celery.resources` or `workers.kubernetes.resources`",
    "workers.persistence.size": "`workers.celery.persistence.size`",
    "scheduler.securityContext.runAsUser": "`scheduler.securityContexts`",
    "securityContext.runAsUser": "`securityContexts`",
    "registry.secretName": "`imagePullSecrets`",
    "ingress.enabled": "`ingress.apiServer.enabled`",
    "ingress.web.host": "`ingress.apiServer.hosts`",
    "webserver.defaultUser.enabled": "`createUserJob.defaultUser.enabled`",
    "webserverSecretKey": "`apiSecretKey`",
    "config.webserver.web_server_port": "`config.api.port`",
    "config.core.sql_alchemy_conn": "`config.database.sql_alchemy_conn`",
    "config.core.check_slas": "nothing replaces it: The SLA feature is removed in Airflow 3.0",
}


@pytest.mark.parametrize(("old", "new"), REPLACED.items())
def test_a_key_of_older_versions_is_answered_with_its_replacement(old, new, tmp_path, known):
    (problem,) = problems(tmp_path, nested(old), known)
    assert "is out of date" in problem.text
    assert new in problem.text


VARIABLES = {
    "AIRFLOW__CORE__PARALELISM": "AIRFLOW__CORE__PARALLELISM",
    "AIRFLOW__COR__PARALLELISM": "AIRFLOW__CORE__PARALLELISM",
    "AIRFLOW_CORE__PARALLELISM": "AIRFLOW__CORE__PARALLELISM",
    "AIRFLOW__CORE_PARALLELISM": "AIRFLOW__CORE__PARALLELISM",
    "AIRFLOW__core__parallelism": "AIRFLOW__CORE__PARALLELISM",
    "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL",
    "AIRFLOW__CORE__PARALLELISM_CMD": "AIRFLOW__CORE__PARALLELISM",  # Airflow reads it of secret options only
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CON_SECRET": "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_SECRET",
}


@pytest.mark.parametrize("place", ["env", "scheduler.env", "extraEnv", "scheduler.extraContainers", "secret"])
@pytest.mark.parametrize(("wrong", "meant"), VARIABLES.items())
def test_a_variable_that_sets_no_option_is_named(wrong, meant, place, tmp_path, known):
    value: Any = [{"name": "PYTHONPATH", "value": "x"}, {"name": wrong, "value": "1"}]
    value = {"extraEnv": yaml.safe_dump(value), "secret": [{"envName": wrong}]}.get(place, value)
    value = [{"name": "x", "env": value}] if place.endswith("Containers") else value
    (problem,) = problems(tmp_path, nested(place, value), known)
    assert (problem.key, problem.nearest) == (wrong, meant)


@pytest.mark.parametrize(
    "name",
    [
        "AIRFLOW__CORE__PARALLELISM",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_CMD",
        "AIRFLOW__COMMON_IO__XCOM_OBJECTSTORAGE_PATH",
        "AIRFLOW__FAB__ENABLE_PROXY_FIX",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY",
        "AIRFLOW__KUBERNETES_ENVIRONMENT_VARIABLES__ANY",
        "AIRFLOW_CONN_MY__DB",
        "AIRFLOW_VAR_X",
        "AIRFLOW_HOME",
        "DAG_SYNC_INTERVAL",
        "AIRFLOW__{{ .Values.x }}__Y",
    ],
)
def test_other_variables_pass(name, tmp_path, known):
    assert not problems(tmp_path, nested("env", [{"name": name, "value": "1"}]), known)


def test_a_variable_in_a_block_is_found_on_its_line(tmp_path, known):
    (problem,) = problems(tmp_path, "extraEnv: |\n  - name: A\n  - name: AIRFLOW__CORE__X_Y_Z\n", known)
    assert problem.line == 3


KEY = re.compile(r"(?P<before>\s*(?:- )?)(?P<name>[\w./-]+)(?P<after>:(?: .*)?)")


def misspelt(name: str) -> set[str]:
    """The name with a letter dropped, and with one changed."""
    middle = len(name) // 2
    head, tail = name[:middle], name[middle + 1 :]
    return {head + tail, f"{head}q{tail}"} - {name, ""}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda file: file.stem)
def test_every_key_is_checked_and_no_free_one(sample, tmp_path, known):
    """Misspells each key of the sample in two ways, one at a time; the lines marked so may hold any key."""
    assert not check(sample, known)
    lines = sample.read_text().splitlines()
    wrong: list[str] = []
    meant, other = 0, list[str]()
    for index, line in enumerate(lines):
        if not (match := KEY.fullmatch(line)):
            continue
        free = line.endswith("# free")
        for name in sorted(misspelt(match["name"])):
            text = "\n".join([*lines[:index], match["before"] + name + match["after"], *lines[index + 1 :]])
            found = [problem for problem in problems(tmp_path, text, known) if problem.line == index + 1]
            if free != (not found) or len(found) > 1:
                wrong.append(f"{sample.name}:{index + 1}: {name} for {match['name']}: {found}")
            elif found:
                right = found[0].nearest.rstrip('"').endswith(match["name"])
                meant += right
                other += [] if right else [f"{name} for {match['name']}: {found[0].nearest}"]
    assert not wrong
    assert meant > 100, "next to nothing was misspelt: the test would be vacuous"
    assert meant > 20 * len(other), other  # short names like `to` may resemble another key more


@pytest.mark.parametrize("layer", LAYERS, ids=lambda file: str(file.relative_to(VALUES)))
def test_the_layers_hold_known_keys_only(layer):
    assert not [str(problem) for problem in check(layer, *keys.for_file(layer))]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda file: str(file.relative_to(VALUES)))
def test_the_templates_in_the_layers_read_known_keys_only(layer, tmp_path, known):
    """A misspelt `.Values.buckett` renders as nothing, too."""
    read = re.findall(r"\.Values\.([A-Za-z][\w.]*)", layer.read_text())
    read += [f"{first}.{rest}" for first, rest in re.findall(r"\(\.Values\.(\w+)\)\.(\w+)", layer.read_text())]
    for path in read:
        assert not [str(problem) for problem in problems(tmp_path, nested(path, None), known)]


def test_a_key_that_stands_twice_is_named(tmp_path, known):
    text = "dags:\n  gitSync:\n    enabled: true\nlabels:\n  a: b\n  a: c\ndags:\n  persistence: {}\n"
    first, second = problems(tmp_path, text, known)
    assert (first.line, first.key) == (6, "labels.a")
    assert (second.line, second.key) == (7, "dags")
    assert "a second time, after line 1" in second.text


def test_anchors_and_merges_are_followed(tmp_path, known):
    text = (
        "scheduler: &a\n  replicas: 1\n  resources: &r {requests: {cpuu: 1}}\ntriggerer:\n  <<: *a\n  resources: *r\n"
    )
    found = problems(tmp_path, text, known)
    assert {problem.key for problem in found} == {
        "scheduler.resources.requests.cpuu",
        "triggerer.resources.requests.cpuu",
    }


def test_an_anchor_that_holds_itself_ends(tmp_path, known):
    assert not problems(tmp_path, "labels: &a\n  b: *a\n", known)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1\nb: 2\n", 2),
        ("a:\n\t- b\n", 2),
        ("executor: x\n---\nexecutor: y\n", 2),
        ("- executor\n", 1),
        ("executor\n", 1),
        ("? [a, b]\n: c\n", 1),
        ("executor: \x00\n", 1),
    ],
)
def test_what_is_no_values_file_is_one_problem_with_its_line(text, line, tmp_path, known):
    (problem,) = problems(tmp_path, text, known)
    assert problem.line == line
    assert "\n" not in str(problem)


def test_bytes_that_are_no_text_are_one_problem(tmp_path, known):
    file = tmp_path / "layer.yaml"
    file.write_bytes(b"executor: \xff\n")
    assert len(check(file, known)) == 1


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n", "~\n", "scheduler:\n", "scheduler: ~\n", "env: {}\n"])
def test_empty_parts_pass(text, tmp_path, known):
    assert not problems(tmp_path, text, known)


@pytest.mark.parametrize("text", ["env: {A: b}\n", "scheduler: [a]\n", "executor: {name: x}\n", "executor: [{a: b}]\n"])
def test_keys_in_the_place_of_a_list_or_of_text_are_named(text, tmp_path, known):
    assert len(problems(tmp_path, text, known)) == 1


def test_own_keys_are_declared(tmp_path):
    file = tmp_path / "layer.yaml"
    file.write_text("dagSync:\n  interval: 1s\n")
    assert len(check(file, official())) == 1
    assert not check(file, official(), own_keys())


CLOSED = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "$defs": {
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "tree": {"type": "object", "properties": {"name": {"type": "string"}, "below": {"items": {"$ref": "#/$defs/tree"}}}},
        "size": {"type": "string"},
    },
    "properties": {
        "image": {"type": "object", "properties": {"repository": {"$ref": "#/$defs/size"}, "tag": {"type": "string"}}},
        "labels": {"$ref": "#/$defs/labels"},
        "tree": {"$ref": "#/$defs/tree"},
        "packages": {"type": "object", "patternProperties": {"^[a-z_]+$": {"properties": {"size": {"type": "integer"}}}}},
        "either": {"oneOf": [{"type": "string"}, {"type": "object", "properties": {"value": {"const": 1}}}]},
        "mode": {"enum": ["a", "b"]},
        "free": {"type": "object"},
        "jobs": {
            "type": "object",
            "properties": {"enabled": {"type": "boolean"}, "namespace": {"type": "string"}},
            "allOf": [{"if": {"properties": {"enabled": {"const": True}}}, "then": {"required": ["namespace"]}}],
            "anyOf": [{"required": ["enabled"]}, {"type": "object", "required": ["namespace"]}],
        },
        "tuple": {"type": "array", "prefixItems": [{"type": "object", "properties": {"a": {}}}]},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "nearest"),
    [
        ("imagee.tag", "image"),
        ("image.tagg", "image.tag"),
        ("tree.below", None),
        ("packages.team_a.sise", "packages.team_a.size"),
        ("packages.TEAM.size", ""),
        ("either.valu", "either.value"),
        ("either.value", None),
        ("labels.anything", None),
        ("free.anything.below", None),
        ("jobs.enabld", "jobs.enabled"),
        ("jobs.namespace", None),
        ("mode.x", ""),
        ("image.repository.x", ""),
    ],
)
def test_a_closed_schema_of_our_own_serves_as_well(path, nearest, tmp_path):
    found = [problem.nearest for problem in problems(tmp_path, nested(path), known_keys(CLOSED))]
    assert found == ([] if nearest is None else [nearest])


def test_recursion_and_lists_of_a_schema_are_followed(tmp_path):
    text = "tree: {below: [{below: [{nam: x}]}]}\ntuple: [{b: 1}]\n"
    found = {problem.key: problem.nearest for problem in problems(tmp_path, text, known_keys(CLOSED))}
    assert found == {"tree.below[0].below[0].nam": "tree.below[0].below[0].name", "tuple[0].b": "tuple[0].a"}


def test_command_line(tmp_path, capsys):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("executor: LocalExecutor\n")
    bad.write_text("executer: x\nfoo: [\n")
    assert keys.main([str(good)]) == 0
    assert keys.main([str(good), str(bad)]) == 1
    assert capsys.readouterr().out.startswith(f"{bad}:3: this is no YAML: ")
    assert keys.main([str(tmp_path / "none.yaml")]) == 2
    assert keys.main([]) == 2
    assert keys.main(["--help"]) == 2
    assert "usage" in capsys.readouterr().err


# The committed lists.

CHART_LIST, OPTIONS_LIST = keys.LISTS / "airflow-chart.txt", keys.LISTS / "airflow-options.txt"


@pytest.mark.parametrize("file", [CHART_LIST, OPTIONS_LIST], ids=lambda file: file.stem)
def test_the_lists_say_the_same_when_written_again(file):
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    assert sorted(parse(lines).lines()) == sorted(lines)


def test_each_type_and_replacement_in_the_lists_is_there(known):
    shapes = [*walk(known.root), *walk(known.types)]
    types = {shape.like for shape in shapes if shape.like[:1].isupper()} - {ANYTHING}
    assert types <= known.types.keys.keys()
    for new in {
        new for shape in shapes if not shape.instead.startswith("nothing") for new in shape.instead.split(" or ")
    }:
        at = known.root
        for name in re.findall(r'"[^"]+"|\[\]|[^.\[\]]+', new):
            opened = known.opened(at)
            assert name == "[]" or name.strip('"') in opened.keys, new
            at = opened.items if name == "[]" else opened.keys[name.strip('"')]
            assert at


def test_the_lists_are_of_the_pinned_versions():
    assert (
        f"airflow chart {versions()['chart']}, sha256 {versions()['chart_sha256']}"
        in CHART_LIST.read_text().replace("Air", "air")
    )
    assert OPTIONS_LIST.read_text().startswith(f"# Options of Airflow {versions()['airflow']} ")


def test_the_chart_list_is_current(known):
    chart = archive()
    if chart is None:
        pytest.skip("the official chart's archive is not on this machine; its digest was compared")
    from scripts.maintain import key_lists as renew

    assert renew.chart_list(chart) == CHART_LIST.read_text(), "run `python -m scripts.maintain.key_lists`"


def test_the_chart_s_own_values_are_known(known, tmp_path):
    """Its values.yaml uses no key that its schema, and so the list, does not have."""
    chart = archive()
    if chart is None:
        pytest.skip("the official chart's archive is not on this machine")
    from scripts.maintain import key_lists as renew

    files = renew.read(chart)
    found = [p.key for p in problems(tmp_path, files["airflow/values.yaml"], known) if "is out of date" not in p.text]
    assert found == ["config.scheduler.standalone_dag_processor"]  # of Airflow 2, which the chart serves as well
    subchart = yaml.safe_load(files["airflow/charts/postgresql/values.yaml"])
    globals_ = subchart.pop("global")
    assert not problems(tmp_path, yaml.safe_dump({"postgresql": subchart, "global": globals_}), known)


def test_the_options_list_is_current():
    """Airflow's own options, those of the providers that the checkout installs, and Airflow's tables of old ones."""
    from scripts.maintain import key_lists as renew

    blocks: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in OPTIONS_LIST.read_text().splitlines()[2:]:
        if line.startswith("# "):
            blocks[line[2:]] = lines = []
        elif line:
            lines.append(line)
    for title in (renew.FREE_TITLE, renew.GONE_TITLE):
        del blocks[title]
    installed = renew.options()
    assert len(installed) > 3
    assert installed.keys() <= blocks.keys(), "run `python -m scripts.maintain.key_lists`"
    assert renew.options_list(blocks | installed) == OPTIONS_LIST.read_text(), (
        "run `python -m scripts.maintain.key_lists`"
    )
