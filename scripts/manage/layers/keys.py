"""Checks the keys of values files: names each that nothing reads, and the nearest that something does.

    python -m scripts.manage.layers.keys FILE...      exit 0: all known; 1: problems, one a line; 2: wrong use

The official chart's schema is open in 93 places, and Airflow ignores options that it does not know, so that a misspelt
key changes nothing and says nothing. Here both are closed, from the lists in `values/keys`: neither the chart nor
Airflow is needed. `python -m scripts.maintain.key_lists` renews the lists.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache, lru_cache
from pathlib import Path

import yaml

from scripts.manage.layers.known import ANYTHING, KnownKeys, Shape, child, join, known_keys, parse
from scripts.pinned import ROOT

LISTS = ROOT / "values" / "keys"
OUR_VALUES, OUR_SCHEMA = (
    ROOT / "values" / "airflow-platform",
    ROOT / "charts" / "airflow-platform" / "values.schema.json",
)
USAGE = "usage: python -m scripts.manage.layers.keys FILE..."

Trail = Sequence[tuple[str, Shape]]  # from the top of the file down to a node: path, shape

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # eight times faster where libyaml is built in
MERGE = "tag:yaml.org,2002:merge"
# AIRFLOW_CONN_*, AIRFLOW_VAR_*, AIRFLOW_HOME and their like are no options; one with `__` in it means to be one.
VARIABLE = re.compile(r"\bAIRFLOW_(?!CONN_|VAR_)(?=\w*[A-Za-z0-9]__)\w+(?!\w|\{)|\bAIRFLOW__\w*[A-Za-z0-9](?!\w|\{)")


@dataclass(frozen=True)
class Problem:
    """One key that is not right."""

    path: Path
    line: int
    key: str
    nearest: str  # the valid key that it resembles most, or its replacement; empty when there is none
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def check(path: Path, known: KnownKeys, own: frozenset[str] = frozenset()) -> list[Problem]:
    """The problems of one values file, in its order. `own` are keys of ours, in the notation of the lists."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return [
            Problem(path, mark.line + 1 if mark else 1, "", "", f"this is no YAML: {error.problem or error.context}")
        ]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return [Problem(path, 1, "", "", f"this is no YAML: {str(error).splitlines()[0]}")]
    if root is None or (isinstance(root, yaml.ScalarNode) and root.value in ("", "null", "~")):
        return []
    if not isinstance(root, yaml.MappingNode):
        return [Problem(path, 1, "", "", "a values file holds keys at its top, and this one does not")]
    known = _extended(known, own)
    return sorted(set(_File(path, known).walk(root, [("", known.root)])), key=lambda p: p.line)


@lru_cache(maxsize=8)
def _extended(known: KnownKeys, own: frozenset[str]) -> KnownKeys:
    return known.with_own(own) if own else known


class _File:
    """The walk through one file."""

    def __init__(self, path: Path, known: KnownKeys) -> None:
        self.path, self.known, self.options = path, known, _variables(known)
        self.open: list[yaml.Node] = []  # an anchor may hold an alias to itself

    def problem(self, node: yaml.Node, key: str, nearest: str, text: str) -> Problem:
        return Problem(self.path, node.start_mark.line + 1, key, nearest, text)

    def walk(self, node: yaml.Node, trail: Trail) -> Iterator[Problem]:
        """Checks what stands at the end of the trail."""
        if node in self.open:
            return
        self.open.append(node)
        key, shape = trail[-1][0], self.known.opened(trail[-1][1])
        if isinstance(node, yaml.ScalarNode):
            yield from self.variables(node, node.value)
        elif isinstance(node, yaml.SequenceNode):
            if shape.keys and not shape.items and shape.like != ANYTHING:
                yield self.problem(node, key, key, f"`{key}` takes keys, not a list")
            item = shape.items or Shape(like=shape.like)
            for index, value in enumerate(node.value):
                yield from self.walk(value, [*trail, (f"{key}[{index}]", item)])
        elif shape.items and node.value and not shape.keys and shape.like != ANYTHING:
            yield self.problem(node, key, key, f"`{key}` takes a list, not keys")
        else:
            yield from self.mapping(node, shape, trail)
        self.open.pop()

    def mapping(self, node: yaml.Node, shape: Shape, trail: Trail) -> Iterator[Problem]:
        """Checks each key of a map, and that none stands there twice."""
        seen: dict[str, int] = {}
        for name_node, value in node.value:
            if name_node.tag == MERGE:
                for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    yield from self.walk(merged, trail)
                continue
            if not isinstance(name_node, yaml.ScalarNode):
                yield self.problem(name_node, trail[-1][0], "", "this key is a list or a map, and a key is text")
                continue
            name = name_node.value
            full = join(trail[-1][0], name)
            if name in seen:
                text = f"`{full}` stands here a second time, after line {seen[name]}: YAML silently keeps the last"
                yield self.problem(name_node, full, full, text)
            seen.setdefault(name, name_node.start_mark.line + 1)
            sub = child(shape, name)
            if sub is None:
                yield self.unknown(name_node, name, value, shape, trail)
            elif sub.instead and not self.told_below(value, sub):
                yield self.replaced(name_node, full, sub.instead)
            else:
                if name not in shape.keys:
                    yield from self.variables(name_node, name)
                yield from self.walk(value, [*trail, (full, sub)])

    def told_below(self, value: yaml.Node, shape: Shape) -> bool:
        """Whether each key below a replaced one has a replacement of its own, which says more."""
        keys = self.known.opened(shape).keys
        names = _names(value)
        return bool(names) and all(name in keys and keys[name].instead for name in names)

    def replaced(self, node: yaml.Node, full: str, instead: str) -> Problem:
        """Tells what to write in the place of a key that is known, and out of date."""
        if gone := re.match(r"nothing(?:, (.*))?$", instead):
            reason = f": {gone[1].rstrip('.')}" if gone[1] else ""
            return self.problem(node, full, "", f"`{full}` is out of date, and nothing replaces it{reason}")
        new = instead.split(" or ")
        return self.problem(
            node, full, new[0], f"`{full}` is out of date; use {' or '.join(f'`{key}`' for key in new)}"
        )

    def unknown(self, node: yaml.Node, name: str, value: yaml.Node, shape: Shape, trail: Trail) -> Problem:
        """Names the nearest key: a sibling that looks alike, else the same name elsewhere, else any sibling."""
        above = trail[-1][0]
        full, nearest = join(above, name), ""
        current = [key for key, sub in shape.keys.items() if not sub.instead]
        if close := _close(name, current, 0.75):
            nearest = join(above, close)
        elif place := self.elsewhere(name, value, trail):
            nearest, below = place
            if below:
                full, node = join(full, below), value.value[0][0]
        elif current:
            nearest = join(above, _close(name, current, 0.0))
            if len(current) <= 12 and not _close(name, current, 0.5):
                return self.problem(
                    node, full, nearest, f"`{full}` is no key; `{above}` takes {', '.join(sorted(current))}"
                )
        kind = "no option of Airflow" if full.startswith("config.") else f"no key of {self.known.title}"
        end = f"the nearest is `{nearest}`" if nearest else f"`{above}` takes no keys"
        return self.problem(node, full, nearest, f"`{full}` is {kind}; {end}")

    def elsewhere(self, name: str, value: yaml.Node, trail: Trail) -> tuple[str, str] | None:
        """The same name below the nearest ancestor that has it, and the one key in it when that fits there, too."""
        told = _names(value)
        for path, start in reversed(trail):
            found = [
                (len(told & self.known.opened(sub).keys.keys()), -depth, place, sub)
                for depth, place, last, sub in self.tree(start, path, 0)
                if last == name
            ]
            if found:
                *_, place, sub = max(found, key=lambda hit: hit[:2])
                only = next(iter(told)) if len(told) == 1 else ""
                fits = only in self.known.opened(sub).keys
                return (join(place, only), only) if fits else (place, "")
        return None

    def tree(self, shape: Shape, path: str, depth: int) -> Iterator[tuple[int, str, str, Shape]]:
        """The keys below a shape that are not out of date: depth, path, last part, shape."""
        opened = self.known.opened(shape)
        below = [(join(path, name), name, sub) for name, sub in opened.keys.items() if not sub.instead]
        below += [(f"{path}[]", "", opened.items)] if opened.items else []
        for place, name, sub in below:
            yield depth, place, name, sub
            if depth < 4:
                yield from self.tree(sub, place, depth + 1)

    def variables(self, node: yaml.Node, text: str) -> Iterator[Problem]:
        """Checks each AIRFLOW__SECTION__OPTION in a text: a variable's name, or a template of several."""
        for match in VARIABLE.finditer(text) if self.options else ():
            name = match[0]
            instead = self.options.get(name)
            if instead == "" or any(known.endswith("*") and name.startswith(known[:-1]) for known in self.options):
                continue
            if instead:
                found = self.replaced(node, name, instead)
            else:
                near = _close(name, [known for known, gone in self.options.items() if not gone], 0.0)
                found = self.problem(node, name, near, f"`{name}` sets no option of Airflow; the nearest is `{near}`")
            block = isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")  # its text begins on the next line
            yield replace(found, line=found.line + text[: match.start()].count("\n") + block)


def _names(node: yaml.Node) -> set[str]:
    return (
        {name.value for name, _ in node.value if name.id == "scalar"} if isinstance(node, yaml.MappingNode) else set()
    )


def _close(name: str, names: Sequence[str], cutoff: float) -> str:
    """The name most like another, whatever the case."""
    folded = {known.lower(): known for known in reversed(names)}
    close = get_close_matches(name.lower(), list(folded), 1, cutoff)
    return folded[close[0]] if close else ""


@cache
def official() -> KnownKeys:
    """The official chart's keys, with Airflow's options below `config`."""
    known = parse((LISTS / "airflow-chart.txt").read_text().splitlines(), "the Airflow chart")
    options = parse((LISTS / "airflow-options.txt").read_text().splitlines()).root
    for section in options.keys.values():
        for option in section.keys.values():
            if option.instead and not option.instead.startswith("nothing"):
                option.instead = f"config.{option.instead}"
        if section.keys and all(option.instead for option in section.keys.values()):
            section.instead = "nothing, its options are gone or in other sections"
    known.root.keys["config"] = options
    return known


def own_keys() -> frozenset[str]:
    """The top-level keys that templates in our own layers read."""
    lines = (line.partition("#")[0].strip() for line in (LISTS / "own.txt").read_text().splitlines())
    return frozenset(filter(None, lines))


@lru_cache(maxsize=8)
def _variables(known: KnownKeys) -> dict[str, str]:
    """The variable of each option of Airflow, with what replaces it, if anything does; `*` ends a free section's."""
    found: dict[str, str] = {}
    for section, options in known.root.keys.get("config", Shape()).keys.items():
        for option, shape in (options.keys | options.patterns).items():
            found[_variable(section, option)] = " or ".join(
                _variable(*name.removeprefix("config.").rsplit(".", 1)) if name.startswith("config.") else name
                for name in shape.instead.split(" or ")
            )
    return found


def _variable(section: str, option: str) -> str:
    return f"AIRFLOW__{section.replace('.', '_').upper()}__{option.upper()}"


def for_file(path: Path) -> tuple[KnownKeys, frozenset[str]]:
    """The keys for a file: those of our own chart below values/airflow-platform, else the official chart's and ours."""
    if path.resolve().is_relative_to(OUR_VALUES.resolve()):
        return known_keys(json.loads(OUR_SCHEMA.read_text()), "our chart"), frozenset()
    return official(), own_keys()


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    if not arguments or arguments[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    problems = []
    for path in map(Path, arguments):
        try:
            problems += check(path, *for_file(path))
        except OSError as error:
            print(f"{error.filename}: {error.strerror}", file=sys.stderr)
            return 2
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
