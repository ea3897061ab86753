"""What manage.sh asks about layers: which files, which chart, and whether anything in them is wrong."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml
from jsonschema import Draft202012Validator

from scripts.manage.layers import keys
from scripts.manage.layers.chart import ChartError, pulled
from scripts.manage.layers.environments import NAMESPACE, RELEASES, VALUES, Environment, LayerError, environment
from scripts.pinned import ROOT, versions

OUTPUTS_SCHEMA = ROOT / "docs" / "reference" / "outputs.schema.json"


@click.group()
def main() -> None:
    """Layers of values."""


@main.command()
@click.argument("name")
@click.option("--outputs", type=click.Path(path_type=Path), help="what `manage.sh output ENV` wrote")
def resolve(name: str, outputs: Path | None) -> None:
    """Print what manage.sh deploys, a word and its value on each line; refuse what is wrong with it first."""
    place = environment(name)
    check_keys(place)
    if outputs:
        check_outputs(outputs, place)
    elif place.of("platform") == "cloud":
        raise LayerError(
            f"{name} needs what Terraform made: 'manage.sh output {name} --file outputs-{name}.json', then add --outputs outputs-{name}.json."
        )
    for warning in warnings(place):
        click.echo(f"warning: {warning}", err=True)
    archive, pins = pulled(), versions()
    click.echo(f"platform {place.of('platform')}")
    click.echo(f"executor {place.of('executor')}")
    click.echo(f"options {' '.join(layer.partition('/')[2] for layer in place.layers if layer.startswith('options/'))}")
    click.echo(f"kubernetes {pins['kubernetes_oldest']}")
    click.echo(f"version {pins['chart']}")
    click.echo(f"chart_digest {pins['chart_sha256']}")  # `pulled` refuses another
    click.echo(f"chart {archive}")
    for release in RELEASES:
        for file in place.layer_files(release):
            click.echo(f"{release} {file.relative_to(ROOT)}")


def check_keys(place: Environment) -> None:
    """Raise LayerError for keys that nothing reads, after a line on standard error for each."""
    files = [file for release in RELEASES for file in place.layer_files(release)]
    problems = [problem for file in files for problem in keys.check(file, *keys.for_file(file))]
    for problem in problems:
        click.echo(str(problem).replace(f"{ROOT}/", "") + elsewhere(problem), err=True)
    if problems:
        wrong = "1 wrong key" if len(problems) == 1 else f"{len(problems)} wrong keys"
        raise LayerError(f"{wrong} in the layers of {place.name}; nothing was rendered.")


def elsewhere(problem: keys.Problem) -> str:
    """A hint, if the key is one of the other chart's: each layer has two files."""
    ours = keys.OUR_VALUES in problem.path.parents
    layer = problem.path.relative_to(keys.OUR_VALUES if ours else VALUES)
    other = VALUES / layer if ours else keys.OUR_VALUES / layer
    known, own = keys.for_file(other)
    top = problem.key.partition(".")[0]
    if top in known.root.keys or top in {key.partition(".")[0] for key in own}:
        return f" (but {top} is a key of the other chart: {other.relative_to(ROOT)})"
    return ""


def check_outputs(file: Path, place: Environment) -> None:
    """Raise LayerError unless the file is what `manage.sh output` writes for this environment."""
    anew = f"make it with 'manage.sh output {place.name} --file outputs-{place.name}.json'."
    try:
        document = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise LayerError(f"{file} cannot be read as the outputs of an environment: {why}; {anew}") from None
    for fault in Draft202012Validator(json.loads(OUTPUTS_SCHEMA.read_text())).iter_errors(document):
        where = ".".join(map(str, fault.absolute_path)) or "the document"
        raise LayerError(f"{file}: {where}: {fault.message}; {anew}")
    if place.of("platform") != "cloud":
        raise LayerError(f"{place.name} has no AWS side; leave --outputs out.")
    if document["environment"] != place.name:
        raise LayerError(f"{file} is of {document['environment']}, not of {place.name}; {anew}")


def warnings(place: Environment) -> list[str]:
    """What renders and will surprise."""
    merged: dict[str, object] = {}
    for file in place.layer_files("airflow"):
        merged |= yaml.safe_load(file.read_text()) or {}
    found, where = list[str](), f"values/env/{place.name}.yaml"
    logs = merged.get("remoteLogs")
    if place.of("platform") == "pi" and not (isinstance(logs, dict) and logs.get("bucket")):
        found.append(
            f"remoteLogs.bucket is empty in {where}: task logs end with their pod; name an S3-compatible bucket."
        )
    if "example" in str(merged.get("domain")) or "github.com/example-org" in str(merged.get("dags")):
        found.append(f"{where} still has the examples example.org or example-org: write your own.")
    return found


@main.command()
def chart() -> None:
    """Print where the official chart's archive is; pull it when it is not here."""
    click.echo(pulled())


@main.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
def gone(old: Path, new: Path) -> None:
    """Print what is in OLD and not in NEW, objects and their fields: Helm deletes it, kubectl diff does not see it."""
    was, now = _objects(old), _objects(new)
    for name, document in was.items():
        if name in now:
            left = set(_fields(document)) - set(_fields(now[name]))
            for path in sorted(path for path in left if path[:-1] not in left):
                click.echo(f"would be removed: {name}: {'.'.join(path)}")
        elif (document["metadata"].get("annotations") or {}).get("helm.sh/resource-policy") == "keep":
            click.echo(f"would stay without an owner: {name}")
        else:
            click.echo(f"would be deleted: {name}")


@main.command()
def deployed() -> None:
    """Print the revision that is deployed, from `helm history --output json` on standard input; nothing if none is."""
    well = [entry["revision"] for entry in json.load(sys.stdin) if entry["status"] == "deployed"]
    click.echo(max(well, default=""))


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
def lasting(file: Path, folder: Path) -> None:
    """Write a render into FOLDER, one file a namespace, since kubectl takes no other's objects with --namespace.

    Without its Jobs: they are gone minutes after each deploy, and come with the next, changed or not.
    """
    folder.mkdir()
    places: dict[str, list[object]] = {}
    for document in yaml.safe_load_all(file.read_text()):
        if document and document["kind"] != "Job":
            places.setdefault(document["metadata"].get("namespace", NAMESPACE), []).append(document)
    for namespace, documents in places.items():
        (folder / f"{namespace}.yaml").write_text(yaml.safe_dump_all(documents))


def _objects(file: Path) -> dict[str, Any]:
    """By kind and name, and the namespace if it is another than Airflow's."""
    documents = [document for document in yaml.safe_load_all(file.read_text()) if document]
    places = [document["metadata"].get("namespace", NAMESPACE) for document in documents]
    return {
        f"{document['kind']}/{document['metadata']['name']}" + ("" if place == NAMESPACE else f" in {place}"): document
        for document, place in zip(documents, places, strict=True)
    }


# patchMergeKey of each list in the API's types, where `name` is not it; a mount has a name too, that of its volume.
MERGED_BY = ("mountPath", "containerPort", "port", "topologyKey", "ip", "name")


def _fields(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Paths of all that is set; things in a list by what Kubernetes merges them by, and no other list: those are replaced whole."""
    if isinstance(value, list):
        named = [
            (next((str(one[key]) for key in MERGED_BY if key in one), ""), one)
            for one in value
            if isinstance(one, dict)
        ]
        value = {name: one for name, one in named if name}
    for key, inner in (value if isinstance(value, dict) else {}).items():
        if inner is not None:
            yield (*path, str(key))
            yield from _fields(inner, (*path, str(key)))


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except (LayerError, ChartError) as error:
        click.echo(f"manage.sh: {error}", err=True)
        sys.exit(2 if isinstance(error, LayerError) else 3)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
