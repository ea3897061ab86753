"""What manage.sh asks about layers: which files, which chart, and whether anything in them is wrong."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import click
import yaml
from jsonschema import Draft202012Validator

from scripts.layers import keys
from scripts.layers.chart import ChartError, pulled, versions
from scripts.layers.environments import ROOT, Environment, LayerError, environment

OUTPUTS_SCHEMA = ROOT / "docs" / "reference" / "outputs.schema.json"


@click.group()
def main() -> None:
    """Layers of values."""


@main.command()
@click.argument("name")
@click.option(
    "--outputs", type=click.Path(path_type=Path), help="outputs of Terraform, as manage.sh output writes them"
)
def check(name: str, outputs: Path | None) -> None:
    """Refuse misspelt keys and wrong combinations, and warn of what will surprise."""
    place = environment(name)
    files = [file for release in ("airflow", "airflow-platform") for file in place.files(release)]
    problems = [problem for file in files for problem in keys.check(file, *keys.for_file(file))]
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise LayerError(
            f"{len(problems)} wrong {'keys' if len(problems) > 1 else 'key'} in the layers of {name}; nothing was rendered."
        )
    if outputs:
        check_outputs(outputs)
    for warning in warnings(place):
        click.echo(f"warning: {warning}", err=True)


def check_outputs(file: Path) -> None:
    """Raise LayerError unless the file is what `manage.sh output` writes."""
    try:
        document = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise LayerError(
            f"{file} cannot be read as the outputs of an environment: {error}; make it with 'manage.sh output ENV --file {file}'."
        ) from None
    for error in Draft202012Validator(json.loads(OUTPUTS_SCHEMA.read_text())).iter_errors(document):
        where = ".".join(map(str, error.absolute_path)) or "the document"
        raise LayerError(f"{file}: {where}: {error.message}; make it anew with 'manage.sh output ENV --file {file}'.")


def warnings(place: Environment) -> list[str]:
    """What renders and will surprise."""
    merged: dict[str, object] = {}
    for file in place.files("airflow"):
        merged |= yaml.safe_load(file.read_text()) or {}
    logs = merged.get("remoteLogs")
    if place.of("platform") == "pi" and not (isinstance(logs, dict) and logs.get("bucket")):
        return [f"remoteLogs.bucket is empty in values/env/{place.name}.yaml: task logs end with their pod."]
    return []


@main.command()
@click.argument("name")
@click.argument("release")
def files(name: str, release: str) -> None:
    """Print the values files of a release, in order, as they are seen from the repository's top."""
    for file in environment(name).files(release):
        click.echo(file.relative_to(ROOT))


@main.command()
@click.argument("name")
def platform(name: str) -> None:
    """Print the platform and the executor of an environment."""
    click.echo(f"{environment(name).of('platform')} {environment(name).of('executor')}")


@main.command()
def chart() -> None:
    """Print where the official chart's archive is, and its digest; pull it when it is not here."""
    file = pulled()
    click.echo(f"{file} {hashlib.sha256(file.read_bytes()).hexdigest()}")


@main.command(name="version")
def chart_version() -> None:
    """Print the pinned version of the official chart."""
    click.echo(versions()["chart"])


@main.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
def gone(old: Path, new: Path) -> None:
    """Print the objects of OLD that are not in NEW: Helm deletes them, unless they are to be kept."""
    now = set(_objects(new))
    for name, kept in _objects(old).items():
        if name not in now:
            click.echo(f"{'would stay without an owner' if kept else 'would be deleted'}: {name}")


def _objects(file: Path) -> dict[str, bool]:
    documents = [document for document in yaml.safe_load_all(file.read_text()) if document]
    return {
        f"{d['kind']}/{d['metadata']['name']}": (d["metadata"].get("annotations") or {}).get("helm.sh/resource-policy")
        == "keep"
        for d in documents
    }


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except (LayerError, ChartError) as error:
        click.echo(f"manage.sh: {error}", err=True)
        sys.exit(2 if isinstance(error, LayerError) else 3)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
