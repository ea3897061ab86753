"""A package's name: its form, and what else it could be taken for: another package's DAG ids, or a Python module."""

from __future__ import annotations

import importlib.machinery
import sys
import sysconfig
from collections.abc import Iterable, Iterator

import dag_protocol as protocol

from .report import Code, Finding


def check_package_name(package: str, other_packages: Iterable[str]) -> Iterator[Finding]:
    """Yield what is wrong with the package's name."""
    try:
        protocol.check_package(package)
    except protocol.ProtocolError as error:
        yield Finding(package, 1, Code.PACKAGE_NAME, str(error))
        return
    if other := protocol.package_clash(package, other_packages):
        yield Finding(
            package, 1, Code.PACKAGE_NAME,
            f"one DAG id could belong to both {package!r} and {other!r}: "
            "no package may be named as another one plus '_…'; choose another name",
        )  # fmt: skip
    if _shadows_module(package):
        yield Finding(
            package, 1, Code.PACKAGE_NAME,
            f"{package!r} is a Python module that exists, so one of the two could not be imported; choose another name",
        )  # fmt: skip


def _shadows_module(package: str) -> bool:
    """Look in the standard library and site-packages alone: the author's own checkout may well hold the package."""
    if package in sys.stdlib_module_names:
        return True
    spec = importlib.machinery.PathFinder.find_spec(package, [sysconfig.get_path("purelib")])
    return spec is not None and spec.origin is not None
