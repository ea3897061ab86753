"""Checks a package before it is published: `validate_package` tells everything that is wrong with it at once."""

from .check import Parse, validate_package
from .files import collect
from .parse import Limits
from .report import Code, Finding, Report, Severity

__all__ = ["Code", "Finding", "Limits", "Parse", "Report", "Severity", "collect", "validate_package"]
