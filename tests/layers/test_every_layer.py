"""Whoever misspells any key in any layer hears of it: each key of each shipped file, misspelt in turn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from scripts.manage.layers.environments import VALUES, known_layers, layer_file
from scripts.manage.layers.keys import check, for_file

FILES = [
    file
    for layer in known_layers()
    for release in ("airflow", "airflow-platform")
    if (file := layer_file(layer, release)).exists()
]
# Names below these are the user's: labels, selectors, annotations, packages, arguments of a notifier …
FREE = re.compile(
    r"^(refusals|packages|nodeSelector|postgresql\.primary\.nodeSelector|airflowPodAnnotations)\.[^.]+"
    r"|\.annotations\.|\.kwargs\.|\.egress\.[^.]+$|^policy\.onFailure\.[^.]+$"
)


def keys(node: yaml.Node, trail: str = "") -> Iterator[tuple[str, yaml.ScalarNode]]:
    """Each key of a file with its path."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from keys(item, f"{trail}[]")
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = f"{trail}.{key.value}".lstrip(".")
            yield path, key
            yield from keys(value, path)


def misspelt(word: str) -> str:
    """A letter less in the middle; one more where it is too short for that."""
    middle = len(word) // 2
    return word[:middle] + word[middle + 1 :] if len(word) > 4 else word + "x"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(VALUES)))
def test_a_misspelt_key_in_any_layer_is_named(file: Path, tmp_path: Path) -> None:
    text, known = file.read_text(), for_file(file)
    lines, tried, missed = text.splitlines(keepends=True), 0, []
    for path, key in keys(yaml.compose(text)):
        if FREE.search(path):
            continue
        line, column = key.start_mark.line, key.start_mark.column
        wrong = misspelt(key.value)
        changed = [*lines]
        changed[line] = lines[line][:column] + lines[line][column:].replace(key.value, wrong, 1)
        copy = tmp_path / "layer.yaml"
        copy.write_text("".join(changed))
        tried += 1
        found = [p for p in check(copy, *known) if p.line == line + 1 and wrong in p.key]
        if not any(p.nearest.rpartition(".")[2] == key.value or key.value in p.text for p in found):
            missed.append(f"{file.name}:{line + 1}: {path} as {wrong}: {[p.text for p in found] or 'nothing said'}")
    assert tried and not missed, "\n".join(missed)
