"""Which keys a values file may hold: read from a JSON Schema, and written as text with one line for each path.

The text, as in `values/keys/airflow-chart.txt`:

    dags.gitSync.repo                       a key; the keys above it are implied
    scheduler.args[]                        a list
    config."common.io".xcom_objectstorage   a key with a dot in it
    workers.celery.labels.*                 any key, or any that the glob matches
    scheduler.affinity: Affinity            what `Affinity.…` lines tell, or another path
    workers.args -> workers.celery.args     known, and replaced; `-> nothing` when it has no successor
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

Schema = dict[str, Any]
ANYTHING = "Anything"
REGEX = "~"  # marks a pattern that came from `patternProperties`; the others are globs
_PART = re.compile(r'"([^"]+)"|(\[\]|[^".\[\]]+)')
_LINE = re.compile(r"(?P<path>[^ ]+?)(?:: (?P<like>[^ ]+))?(?: -> (?P<instead>.+))?")


@dataclass
class Shape:
    """What may stand below one key. Nothing set: a scalar."""

    keys: dict[str, Shape] = field(default_factory=dict)
    patterns: dict[str, Shape] = field(default_factory=dict)
    items: Shape | None = None
    like: str = ""  # the name of a type, or a path
    instead: str = ""  # the key that replaces this one

    def below(self, path: str) -> Shape:
        """The shape at a path in the notation above; what is missing is made."""
        shape = self
        for part in (quoted or plain for quoted, plain in _PART.findall(path)):
            if part == "[]":
                shape.items = shape.items or Shape()
                shape = shape.items
            else:
                shape = (shape.patterns if "*" in part else shape.keys).setdefault(part, Shape())
        return shape

    def lines(self, path: str = "") -> Iterator[str]:
        """The shape as text; a path that the lines below it imply has none of its own."""
        children = [(join(path, name), sub) for name, sub in (self.keys | self.patterns).items()]
        children += [(f"{path}[]", self.items)] if self.items else []
        if path and (self.like or self.instead or not children):
            yield path + (f": {self.like}" if self.like else "") + (f" -> {self.instead}" if self.instead else "")
        for child, shape in children:
            yield from shape.lines(child)

    def add(self, line: str) -> None:
        """Takes one line of the text."""
        if not (match := _LINE.fullmatch(line)):
            raise ValueError(f"not a line of a key list: {line!r}")
        shape = self.below(match["path"])
        shape.like, shape.instead = match["like"] or shape.like, match["instead"] or shape.instead


@dataclass(frozen=True, eq=False)  # known by identity, so that what is derived from one can be cached
class KnownKeys:
    """The keys of one chart."""

    root: Shape
    types: Shape  # its keys are the names of the types
    title: str = "this chart"

    def opened(self, shape: Shape) -> Shape:
        """The shape together with what it is like."""
        merged, seen = Shape(dict(shape.keys), dict(shape.patterns), shape.items, "", shape.instead), set[str]()
        while (name := shape.like) and name not in seen:
            seen.add(name)
            if name == ANYTHING:
                merged.like = name
                break
            shape = self.types.keys[name] if name in self.types.keys else self.root.below(name)
            merged.keys = shape.keys | merged.keys
            merged.patterns = shape.patterns | merged.patterns
            merged.items = merged.items or shape.items
        return merged

    def with_own(self, own: Iterable[str]) -> KnownKeys:
        """These keys and more of them, in the notation above."""
        known = replace(self, root=deepcopy(self.root))
        for line in own:
            known.root.add(line)
        return known

    def lines(self) -> list[str]:
        """As text: the chart's keys, then the types'."""
        return [*sorted(self.root.lines()), *sorted(self.types.lines())]


def join(path: str, name: str) -> str:
    """The path of a key below another."""
    name = f'"{name}"' if "." in name else name
    return f"{path}.{name}" if path else name


def child(shape: Shape, name: str) -> Shape | None:
    """What may stand below a key of an opened shape; None for a key that it does not know."""
    if name in shape.keys:
        return shape.keys[name]
    for pattern, sub in shape.patterns.items():
        regex = pattern.startswith(REGEX)
        if re.search(pattern[1:], name) if regex else fnmatchcase(name, pattern):
            return sub
    return Shape(like=ANYTHING) if shape.like == ANYTHING else None


def parse(lines: Iterable[str], title: str = "this chart") -> KnownKeys:
    """Reads the text. A path that begins with a capital letter belongs to a type."""
    known = KnownKeys(Shape(), Shape(), title)
    for line in lines:
        text = line.partition("#")[0].strip()
        if text:
            (known.types if text[0].isupper() else known.root).add(text)
    return known


def known_keys(schema: Schema, title: str = "this chart") -> KnownKeys:
    """The keys that a chart's values.schema.json knows.

    A map with declared keys takes no others, even where the schema leaves it open: that is where misspellings pass.
    """
    types, names = Shape(), dict[str, str]()

    def fill(shape: Shape, node: Schema | bool, whole: bool = True) -> Shape:
        """Adds what a node of the schema allows. `whole` is False for a part of one: the branch of an `anyOf`, say."""
        if isinstance(node, bool):
            shape.like = ANYTHING if node and whole else shape.like
            return shape
        if ref := node.get("$ref"):
            shape.like = named(ref)
        for name, sub in node.get("properties", {}).items():
            fill(shape.keys.setdefault(name, Shape()), sub)
        for pattern, sub in node.get("patternProperties", {}).items():
            fill(shape.patterns.setdefault(REGEX + pattern, Shape()), sub)
        other, pattern = node.get("additionalProperties", True), node.get("propertyNames", {}).get("pattern")
        if isinstance(other, dict):
            fill(shape.patterns.setdefault(REGEX + pattern if pattern else "*", Shape()), other)
        items = node.get("items", [])
        for sub in [*node.get("prefixItems", []), *([items] if isinstance(items, dict) else items)]:
            shape.items = fill(shape.items or Shape(), sub)
        # After the keys of the node itself: a branch that only says what is required opens nothing.
        branches = [part for word in ("allOf", "anyOf", "oneOf") for part in node.get(word, ())]
        for part in [*branches, *(node[word] for word in ("if", "then", "else") if word in node)]:
            fill(shape, part, whole=False)
        kinds = node.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        untold = not (shape.keys or shape.patterns or shape.like)
        if "array" in kinds and not shape.items:
            shape.items = Shape(like=ANYTHING)
        told = kinds or node.keys() & {"enum", "const", "oneOf", "anyOf", "allOf", "items"}
        if untold and other is not False and ("object" in kinds or (whole and not told)):
            shape.like = ANYTHING
        return shape

    def named(ref: str) -> str:
        """The name of the type behind a `$ref`, which is read at first sight: recursion ends there."""
        if ref not in names:
            parts = [part.replace("~1", "/").replace("~0", "~") for part in ref.removeprefix("#").split("/")[1:]]
            name = parts[-1].rpartition(".")[2] if parts else "root"
            name = name[0].upper() + name[1:]
            while name in types.keys:
                name += "_"
            names[ref], node = name, schema
            types.keys[name] = Shape()
            for part in parts:
                node = node[part]
            fill(types.keys[name], node)
        return names[ref]

    root = fill(Shape(), {**schema, "additionalProperties": False})
    for name in [name for name, shape in types.keys.items() if shape == Shape()]:
        del types.keys[name]  # a scalar, such as IntOrString
        for shape in (*walk(root), *walk(types)):
            shape.like = "" if shape.like == name else shape.like
    return KnownKeys(root, types, title)


def walk(shape: Shape) -> Iterator[Shape]:
    """A shape and all below it."""
    yield shape
    for sub in (*shape.keys.values(), *shape.patterns.values(), *([shape.items] if shape.items else ())):
        yield from walk(sub)
