"""Layers: each can be combined with each, and says what it is for."""

import itertools
from pathlib import Path

import pytest
import yaml

from scripts.manage.layers.environments import (
    VALUES,
    LayerError,
    check_layers,
    environment,
    environments,
    known_layers,
    layer_file,
    lists,
)
from tests.helpers.charts import CASES

LAYERS = known_layers()
FILES = [
    file
    for layer in LAYERS
    for release in ("airflow", "airflow-platform")
    if (file := layer_file(layer, release)).exists()
]


@pytest.mark.parametrize("release", ["airflow", "airflow-platform"])
def test_no_list_is_in_two_layers_that_are_used_together(release: str) -> None:
    """Helm replaces lists, it does not join them: the earlier layer's would be gone without a word."""
    found = {
        layer: set(lists(yaml.safe_load(layer_file(layer, release).read_text())))
        for layer in LAYERS
        if layer_file(layer, release).exists()
    }
    assert any(found.values()) or release != "airflow"
    for (one, its), (other, others) in itertools.combinations(found.items(), 2):
        kind = one.partition("/")[0]
        if kind == other.partition("/")[0] and kind != "options":
            continue  # never together
        assert not its & others, f"{one} and {other} both have {sorted(its & others)}"


def test_the_list_env_is_left_to_the_user() -> None:
    """The operations guide sets DAG_SYNC_INTERVAL there; a layer with the list would be replaced by it."""
    for layer in LAYERS:
        if layer_file(layer, "airflow").exists():
            assert "env" not in yaml.safe_load(layer_file(layer, "airflow").read_text()), layer


@pytest.mark.parametrize(
    "file", [file for file in FILES if "airflow-platform" not in file.parts], ids=lambda f: str(f.relative_to(VALUES))
)
def test_a_layer_says_for_whom_and_on_top_of_what(file: Path) -> None:
    head = file.read_text().split("\n\n")[0].splitlines()[:3]
    assert head[0].startswith("# For: ") and "On top of: " in " ".join(head), head


def test_every_layer_is_rendered_by_some_case() -> None:
    used = {layer for case in CASES for layer in case.layers}
    assert set(LAYERS) == used


def test_the_environments_are_those_of_the_mission() -> None:
    found = environments()
    assert {name: place.of("platform") for name, place in found.items()} == {
        "dev": "cloud", "staging": "cloud", "prod": "cloud", "pi": "pi",
    }  # fmt: skip
    assert {place.of("delivery") for name, place in found.items() if name != "pi"} == {"s3-sync"}
    assert found["pi"].of("delivery") == "git-sync"
    assert {place.of("executor") for place in found.values()} == {"local"}


GOOD = ["base", "ids/fixed", "platform/cloud", "delivery/s3-sync", "executor/local", "env/dev"]


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ([*GOOD[:3], "delivery/git-sync", *GOOD[3:]], "delivery/git-sync and delivery/s3-sync cannot be combined; keep one layer of delivery."),
        ([*GOOD[:4], "executor/celery", *GOOD[4:]], "executor/celery and executor/local cannot be combined"),
        ([*GOOD[:3], *GOOD[4:]], "no layer of delivery; add one of: delivery/configmap, "),
        ([*GOOD[:3], "delivery/s3sync", *GOOD[4:]], "there is no layer delivery/s3sync; did you mean delivery/s3-sync?"),
        ([GOOD[1], GOOD[0], *GOOD[2:]], "layers are out of order, later ones win; the order is base, ids, platform, "),
        ([*GOOD, "options/flower"], "layers are out of order"),
    ],
)  # fmt: skip
def test_a_wrong_list_of_layers_is_refused_in_a_sentence(layers: list[str], says: str) -> None:
    with pytest.raises(LayerError, match=r"environments\.mine: ") as caught:
        check_layers(layers, "values/environments.yaml: environments.mine")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("envs: {}", "needs the key environments"),
        (
            "environments: {dev: {layer: []}}",
            "environments.dev needs the key layers, a list of names, and no other key",
        ),
        ("environments: {dev: [base]}", "environments.dev needs the key layers"),
        ("", "needs the key environments"),
    ],
)
def test_a_wrong_file_of_environments_is_refused_in_a_sentence(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "environments.yaml"
    file.write_text(text)
    with pytest.raises(LayerError) as caught:
        environments(file)
    assert says in str(caught.value)


def test_an_unknown_environment_names_the_known_ones() -> None:
    with pytest.raises(
        LayerError,
        match=r"there is no environment produ in values/environments\.yaml; there are: dev, staging, prod, pi",
    ):
        environment("produ")


def test_no_layer_replaces_the_mappings_of_statsd() -> None:
    """overrideMappings throws the chart's 21 away, and excludes extraMappings (trap 20)."""
    for layer in LAYERS:
        file = layer_file(layer, "airflow")
        statsd = (yaml.safe_load(file.read_text()) or {}).get("statsd") if file.exists() else None
        assert "overrideMappings" not in (statsd or {}), layer
