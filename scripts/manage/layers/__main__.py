"""What manage.sh asks about layers: which files, which chart, and whether anything in them is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import yaml

from scripts.manage.check_outputs import check_outputs
from scripts.manage.layers import keys
from scripts.manage.layers.chart import ChartError, pulled
from scripts.manage.layers.environments import RELEASES, VALUES, Environment, LayerError, environment
from scripts.pinned import ROOT, versions


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


if __name__ == "__main__":
    try:
        main(standalone_mode=False)
    except (LayerError, ChartError) as error:
        click.echo(f"manage.sh: {error}", err=True)
        sys.exit(2 if isinstance(error, LayerError) else 3)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
