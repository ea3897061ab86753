"""What manage.sh reads out of what Helm prints: what a render lacks that another had, what of it lasts, which revision and environment are deployed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from scripts.manage.layers.environments import NAMESPACE


@click.group()
def main() -> None:
    """Helm's renders, and its history of a release."""


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
def environment() -> None:
    """Print the environment of a release of ours, from `helm get values --output json` on standard input."""
    click.echo((json.load(sys.stdin) or {}).get("environment", ""))


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
    main()
