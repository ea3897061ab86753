"""Proves that no key of any layer is dead: drops each and renders. `make test-keys`; the result is keys.yaml.

A key is alive if some render differs without it: of a case that uses the layer, or of a wrong one that it refuses. One
that is not does nothing, or says what is so anyway: it goes.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from scripts.manage.layers.environments import VALUES, known_layers, layer_file
from scripts.pinned import ROOT, versions
from tests.helpers.charts import CASES, OUR_CHART, Case, Refused, content_sha256, found_archive, template
from tests.render.refusals import OFFICIAL, OURS
from tests.render.test_refusals import files as files_of_wrong

STATED = {  # what the chart would do by itself, and is said all the same
    "executor/celery.yaml: executor": "the chart's default; a layer that does not name its executor would puzzle everybody",
    "delivery/s3-bundle.yaml: versionUrl": "empty, the place for the user's page of a version",
    "env/pi.yaml: remoteLogs.bucket": "empty, the place for the user's bucket: options-local has one",
}
RESULT = ROOT / "tests" / "render" / "keys.yaml"
Trail = tuple[str | int, ...]


@dataclass(frozen=True)
class Render:
    """One set of values files that is rendered with and without a key."""

    files: tuple[Path, ...]
    arguments: tuple[str, ...] = ()

    def text(self, ours: bool, file: Path, instead: Path) -> str:
        """What comes of it with another file in the place of one: manifests, or the refusal."""
        files = tuple(instead if each == file else each for each in self.files)
        try:
            return template(
                "airflow-platform" if ours else "airflow",
                OUR_CHART if ours else found_archive(),
                files,
                *self.arguments,
            )
        except Refused as refusal:
            return f"refused: {refusal}"


def leaves(value: Any, trail: Trail = ()) -> Iterator[Trail]:
    """Paths to everything that has nothing below it."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not below:
        yield trail
    for key, inner in below:
        yield from leaves(inner, (*trail, key))


def without(document: Any, trail: Trail) -> Any:
    """The document without one leaf. Anchors are written out, so that one place changes alone."""
    plain = yaml.safe_load(yaml.dump(document, Dumper=_NoAliases))
    inner = plain
    for key in trail[:-1]:
        inner = inner[key]
    del inner[trail[-1]]
    return plain


class _NoAliases(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def renders(file: Path, ours: bool, trail: Trail) -> list[Render]:
    """Where the key could matter, the likeliest first."""
    cases = [case for case in CASES if file in (case.our_files if ours else case.files)]
    wrong = [
        wrong for wrong in (OURS if ours else OFFICIAL) if file in (wrong.case.our_files if ours else wrong.case.files)
    ]
    words = " ".join(map(str, trail))
    executor = (
        "kubernetes"
        if "kubernetes" in words
        else "celery"
        if any(w in words for w in ("celery", "redis", "flower", "broker"))
        else "local"
    )

    def unlikely(case: Case) -> bool:
        return case.of("executor") != executor

    good = [Render(case.our_files if ours else case.files) for case in sorted(cases, key=unlikely)]
    bad = [Render(files_of_wrong(w, ours), w.arguments) for w in wrong]
    return bad + good if trail[0] in ("refusals", "bucket", "region", "roles") else good + bad


class Prover:
    """Renders, each unchanged one once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._unchanged: dict[tuple[bool, Render], str] = {}

    def alive(self, file: Path, ours: bool, trail: Trail) -> bool:
        """Whether some render differs without it."""
        name = hashlib.sha256(f"{file}{trail}".encode()).hexdigest()[:16]
        instead = self.folder / f"{name}.yaml"
        document = without(yaml.safe_load(file.read_text()), trail)
        instead.write_text(yaml.dump(document, Dumper=_NoAliases))
        return any(
            render.text(ours, file, instead) != self._as_it_is(ours, render, file)
            for render in renders(file, ours, trail)
        )

    def _as_it_is(self, ours: bool, render: Render, file: Path) -> str:
        key = (ours, render)
        if key not in self._unchanged:
            self._unchanged[key] = render.text(ours, file, file)
        return self._unchanged[key]


def layer_files() -> list[tuple[Path, bool]]:
    """Every layer's files, and whether they are of our chart."""
    found = [
        (layer_file(layer, release), release == "airflow-platform")
        for layer in known_layers()
        for release in ("airflow", "airflow-platform")
    ]
    return [(file, ours) for file, ours in found if file.exists()]


def inputs() -> dict[str, str]:
    """Digests of all that the result is of."""
    files = [
        *(file for file, _ in layer_files()),
        *(ROOT / "tests/render/values").rglob("*.yaml"),
        ROOT / "scripts/local/outputs.json",
    ]
    chart = [file for file in OUR_CHART.rglob("*") if file.is_file() and file.suffix in (".yaml", ".json", ".tpl")]
    digest = hashlib.sha256("".join(content_sha256(file) for file in sorted(chart)).encode()).hexdigest()
    return {
        "official chart": versions()["chart_sha256"],
        "our chart": digest,
        **{str(file.relative_to(ROOT)): content_sha256(file) for file in sorted(files)},
    }


@click.command()
@click.argument("only", nargs=-1)
def main(only: tuple[str, ...]) -> None:
    """Prove it for all layers, or for those named ONLY, and write the result of all."""
    dead: list[str] = []
    count: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        prover = Prover(Path(folder))
        for file, ours in layer_files():
            name = str(file.relative_to(VALUES))
            if only and name not in only:
                continue
            trails = list(leaves(yaml.safe_load(file.read_text())))
            alive = pool.map(lambda trail, file=file, ours=ours: prover.alive(file, ours, trail), trails)
            lost = [".".join(map(str, trail)) for trail, lives in zip(trails, alive, strict=True) if not lives]
            lost = [key for key in lost if f"{name}: {key}" not in STATED]
            count[name] = len(trails)
            dead += [f"{name}: {key}" for key in lost]
            click.echo(f"{name}: {len(trails)} keys" + "".join(f"\n  dead: {key}" for key in lost))
    if dead:
        sys.exit(f"{len(dead)} dead keys; nothing was written: take them out.")
    if not only:
        head = "# Each of these keys was dropped, and a render differed: `make test-keys`. Stale digests fail `make test`.\n"
        RESULT.write_text(head + yaml.safe_dump({"keys": count, "stated": STATED, "inputs": inputs()}, sort_keys=False))
        click.echo(f"{sum(count.values())} keys, none dead: {RESULT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
