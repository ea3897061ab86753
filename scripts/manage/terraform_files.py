"""Reads Terraform's files: blocks, and what is inside the types of variables."""

from __future__ import annotations

import functools
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hcl2  # type: ignore[import-untyped]
from hcl2.query import BlockView, DocumentView  # type: ignore[import-untyped]

ON_ONE_LINE = hcl2.SerializationOptions(wrap_objects=True, wrap_tuples=True, preserve_heredocs=False)


def input_paths(folder: Path) -> set[str]:
    """Every variable of a folder and every attribute inside, as `packages.*.github.branch`."""
    paths = set()
    for block in blocks_of((folder / "variables.tf").read_text()):
        name, given = block.name_labels[0], block.attribute("type")
        paths |= {name, *(name + path for path in (type_of(given.value_node.raw) if given else Type("any")).attributes)}
    return paths


@dataclass(frozen=True)
class Type:
    """A type constraint: in short, with its default, and the attributes that it has inside, by path."""

    short: str
    default: str = ""
    attributes: dict[str, tuple[Type, str]] = field(default_factory=dict)

    def below(self, step: str) -> dict[str, tuple[Type, str]]:
        """The attributes, as seen from outside of what holds this type."""
        return {f"{step}{path}": attribute for path, attribute in self.attributes.items()}


@functools.cache  # the drift test asks for everything once per file
def blocks_of(text: str) -> list[BlockView]:
    """The blocks at the top of a file's text. Raises what hcl2 raises for no HCL."""
    blocks: list[BlockView] = DocumentView.parse(text).blocks()
    return blocks


def type_of(node: Any) -> Type:
    """The type that a constraint's node says."""
    if isinstance(node, hcl2.rules.expressions.ExprTermRule):
        return type_of(node.expression)
    if not isinstance(node, hcl2.rules.functions.FunctionCallRule):
        return Type(expression(node))
    name, arguments = node.identifiers[0].serialize(), node.arguments.arguments
    if name == "object":
        return Type("object", attributes=dict(_attributes(arguments[0].expression)))
    if name == "tuple":
        return Type(expression(node))
    inner = type_of(arguments[0])
    if name == "optional":
        return Type(inner.short, expression(arguments[1]) if arguments[1:] else "null", inner.attributes)
    return Type(f"{name}({inner.short})", attributes=inner.below(".*"))


def _attributes(node: hcl2.rules.containers.ObjectRule) -> Iterator[tuple[str, tuple[Type, str]]]:
    for element, comment in _commented(node):
        path, of = f".{text_of(element.key.serialize())}", type_of(element.expression)
        yield path, (of, comment)
        yield from of.below(path).items()


def _commented(node: hcl2.rules.containers.ObjectRule) -> list[tuple[hcl2.rules.containers.ObjectElemRule, str]]:
    """The elements, each with the comment above it or, without one, at the end of its line."""
    found: list[tuple[hcl2.rules.containers.ObjectElemRule, str]] = []
    space = ""
    for child in [*node.children[1:], None]:
        if isinstance(child, hcl2.rules.whitespace.NewLineOrCommentRule):
            space += child.serialize()
        if not isinstance(child, hcl2.rules.containers.ObjectElemRule | None):
            continue
        beside, _, above = space.partition("\n")
        if found and not found[-1][1]:
            found[-1] = (found[-1][0], _comment(beside))
        if child:
            found.append((child, _comment(above.rpartition("\n\n")[2])))
        space = ""
    return found


def _comment(text: str) -> str:
    return " ".join(line.strip(" \t#/*") for line in text.splitlines()).strip()


def expression(node: Any) -> str:
    """An expression on one line, as Terraform writes it."""
    value = node.serialize(ON_ONE_LINE)
    if not isinstance(value, str):
        return json.dumps(value)
    return value[2:-1] if value.startswith("${") else value


def text_of(value: str) -> str:
    """What a quoted string says, on one line."""
    text = json.loads(value, strict=False) if value.startswith('"') else value
    return " ".join(textwrap.dedent(text).replace("$${", "${").split())
