"""Other checkouts than this one: of the version before, and with a change of an operator's."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path

from scripts.pinned import ROOT

PARTS = ("scripts", "values", "charts", "terraform/environments", "docs/reference")  # what manage.sh needs


def working_copy(folder: Path) -> Path:
    """This one, to be changed."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "versions.yaml", folder)
    return _with_python(folder)


def revision_before() -> str:
    """The newest release, else the state before the last change of charts or values; nothing where git has neither."""
    if _git("rev-parse", "--is-shallow-repository") != "false":
        return ""
    release = _git("describe", "--tags", "--abbrev=0", "--match=v*", "HEAD^")
    return release or f"{_git('log', '-1', '--format=%H', '--', 'charts', 'values', ':!*.md')}^"


def of_revision(revision: str, folder: Path) -> Path:
    """One of git's."""
    archive = subprocess.run(["git", "archive", revision, *PARTS, "versions.yaml"], cwd=ROOT, capture_output=True, check=True)  # fmt: skip
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return _with_python(folder)


def _git(*words: str) -> str:
    """Its answer; nothing where it refuses."""
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _with_python(folder: Path) -> Path:
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def edit(checkout: Path, file: str, old: str, new: str) -> None:
    """Change a file."""
    path = checkout / file
    text = path.read_text()
    assert old in text, f"{file} has no {old!r}"
    path.write_text(text.replace(old, new, 1))
