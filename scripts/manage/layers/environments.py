"""Which layers an environment has, and in which files they are: values/environments.yaml, read and checked."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scripts.pinned import ROOT

VALUES = ROOT / "values"
LIST = VALUES / "environments.yaml"
# In the order in which they are installed: Airflow's pods mount what ours has.
RELEASES = ("airflow-platform", "airflow")
NAMESPACE = "airflow"
KINDS = ("base", "ids", "platform", "delivery", "executor", "options", "env")  # the order of layers; later ones win
ONCE = frozenset(KINDS) - {"options"}
ON_TOP_OF = {"delivery/s3-bundle": "delivery/s3-sync"}
"""A layer that is another one and more: the files of both are taken, its own the later."""


class LayerError(ValueError):
    """The list of layers is wrong; the text says where, what, and the way out."""


@dataclass(frozen=True)
class Environment:
    """Where Airflow is deployed to.

    Args:
        name: like `dev`.
        layers: names of its layers, in order.
    """

    name: str
    layers: tuple[str, ...]

    def of(self, kind: str) -> str:
        """Name of its layer of a kind that it has once: `environment.of("delivery")` is like `s3-sync`."""
        return next(layer.rpartition("/")[2] for layer in self.layers if layer.partition("/")[0] == kind)

    def layer_files(self, release: str) -> list[Path]:
        """Values files of a release, in order."""
        return [file for layer in self._with_what_is_below() if (file := layer_file(layer, release)).exists()]

    def _with_what_is_below(self) -> Iterator[str]:
        for layer in self.layers:
            if layer in ON_TOP_OF:
                yield ON_TOP_OF[layer]
            yield layer


def layer_file(layer: str, release: str) -> Path:
    """Where a layer's values for a release are: the official chart's directly in values/, ours below it."""
    return VALUES / ("" if release == "airflow" else release) / f"{layer}.yaml"


def known_layers() -> list[str]:
    """Names of all layers that have a file."""
    folders = [VALUES, VALUES / "airflow-platform"]
    found = {str(file.relative_to(folder).with_suffix("")) for folder in folders for file in folder.glob("**/*.yaml")}
    return sorted(layer for layer in found if layer.partition("/")[0] in KINDS)


def check_layers(layers: Iterable[str], where: str) -> tuple[str, ...]:
    """Return the layers, or raise LayerError: unknown, twice of one kind, none of one, or in the wrong order."""
    layers, known = tuple(layers), known_layers()
    for layer in layers:
        if layer not in known:
            near = difflib.get_close_matches(layer, known, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(known)}."
            raise LayerError(f"{where}: there is no layer {layer}{hint}")
    kinds = [layer.partition("/")[0] for layer in layers]
    for kind in KINDS:
        of_kind = [layer for layer in layers if layer.partition("/")[0] == kind]
        if kind in ONCE and len(of_kind) > 1:
            raise LayerError(f"{where}: {' and '.join(of_kind)} cannot be combined; keep one layer of {kind}.")
        if kind in ONCE and not of_kind:
            raise LayerError(
                f"{where}: no layer of {kind}; add one of: {', '.join(k for k in known if k.startswith(kind))}."
            )
    if kinds != sorted(kinds, key=KINDS.index):
        raise LayerError(f"{where}: layers are out of order, later ones win; the order is {', '.join(KINDS)}.")
    return layers


def lists(value: Any, at: str = "") -> Iterator[str]:
    """Paths of all lists in a document."""
    if isinstance(value, list):
        yield at
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from lists(inner, f"{at}.{key}".lstrip("."))


def check_lists(place: Environment) -> None:
    """Raise LayerError if a layer would replace another's list: Helm does not join them."""
    for release in RELEASES:
        seen: dict[str, Path] = {}
        for file in place.layer_files(release):
            try:
                document = yaml.safe_load(file.read_text())
            except yaml.YAMLError:
                continue  # the check of keys says it better
            for path in lists(document):
                if path in seen:
                    one, other = (each.relative_to(ROOT) for each in (seen[path], file))
                    raise LayerError(
                        f"{other}: the list {path} would replace that of {one}; write all of it into one of them."
                    )
                seen[path] = file


def environments(file: Path = LIST) -> dict[str, Environment]:
    """All environments by name. Raises LayerError."""
    where = file.relative_to(ROOT) if file.is_relative_to(ROOT) else file
    try:
        document: Any = yaml.safe_load(file.read_text())
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise LayerError(f"{where}{line}: this is no YAML: {error.problem}.") from None
    listed = document.get("environments") if isinstance(document, Mapping) else None
    if not isinstance(listed, Mapping):
        raise LayerError(f"{where}: needs the key environments, a map of names.")
    found = {}
    for name, settings in listed.items():
        if not isinstance(settings, Mapping) or set(settings) != {"layers"} or not isinstance(settings["layers"], list):
            raise LayerError(f"{where}: environments.{name} needs the key layers, a list of names, and no other key.")
        place = Environment(str(name), check_layers(map(str, settings["layers"]), f"{where}: environments.{name}"))
        if place.of("env") != name:
            raise LayerError(
                f"{where}: environments.{name}: env/{place.of('env')} is another's; the last layer is env/{name}."
            )
        check_lists(place)
        found[str(name)] = place
    return found


def environment(name: str) -> Environment:
    """One environment. Raises LayerError."""
    known = environments()
    if name not in known:
        raise LayerError(f"there is no environment {name} in values/environments.yaml; there are: {', '.join(known)}.")
    return known[name]
