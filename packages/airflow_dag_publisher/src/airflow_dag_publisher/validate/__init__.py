"""Checks a package before it is published: `validate_package` tells everything that is wrong with it at once."""

from .check import Parse, validate_package
from .files import collect, dags_folder, relative_path
from .parse import Limits
from .report import Code, Finding, Report, Severity

__all__ = [
    "Code",
    "Finding",
    "Limits",
    "Parse",
    "Report",
    "Severity",
    "collect",
    "dags_folder",
    "relative_path",
    "validate_package",
]
