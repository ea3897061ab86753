"""Checks a repository of packages before a commit is merged: what git-sync, an image or a shared volume would bring to everybody."""

from .check import check_repository
from .report import RepositoryReport

__all__ = ["RepositoryReport", "check_repository"]
