"""Reads a repository: of a git clone what git knows, since no more is delivered, and of any other folder what is there."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from .tree import Tree

LINK, SUBMODULE = "120000", "160000"  # modes in git's index
_OF_ANOTHER_REPOSITORY = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE")  # set where a hook of git calls us


@dataclass
class _Found:
    """What was found so far, by path from the top."""

    files: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)

    def tree(self, top: Path) -> Tree:
        return Tree.of(top, self.files, self.links, self.folders, self.absent)


def read_tree(folder: Path) -> tuple[Tree, str, bool]:
    """Return the repository that `folder` is in, the folder's path in it, and whether git was asked.

    Without git, or where git knows nothing of the folder, the folder itself is all that is delivered.

    Raises:
        OSError: the folder, or something in it, cannot be read.
    """
    folder = folder.resolve(strict=True)
    top = next((place for place in (folder, *folder.parents) if os.path.lexists(place / ".git")), None)
    if top is None:
        return _of_disk(folder).tree(folder), "", False
    inside = "" if top == folder else folder.relative_to(top).as_posix()
    listed = _index(top)
    if listed is None:
        return _of_disk(top).tree(top), inside, False
    if not any(path == inside or path.startswith(f"{inside}/" if inside else "") for _, path in listed):
        return _of_disk(folder).tree(folder), "", False
    found = _Found()
    for mode, path in listed:
        _add_listed(found, top, mode, path)
    return found.tree(top), inside, True


def _index(top: Path) -> list[tuple[str, str]] | None:
    """Mode and path of what git knows; None where there is no git, or it does not want to tell."""
    env = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_REPOSITORY}
    command = ["git", "-C", str(top), "ls-files", "-z", "--cached", "--stage"]
    try:
        done = subprocess.run(command, env=env, capture_output=True, check=False)
    except OSError:
        return None
    if (
        b"dubious ownership" in done.stderr
    ):  # in CI, where the checkout is another user's: what is on the disk is not what is delivered
        raise PermissionError(
            f"git does not read {top}, since another user owns it: git config --global --add safe.directory {top}"
        )
    if done.returncode:
        return None
    lines = [os.fsdecode(line) for line in done.stdout.split(b"\0") if line]
    return [(line[:6], line.partition("\t")[2]) for line in lines]


def _add_listed(found: _Found, top: Path, mode: str, path: str) -> None:
    file = top / path
    if mode == SUBMODULE:
        here = _of_disk(file, path) if file.is_dir() else _Found()
        found.files |= here.files
        found.links |= here.links
        found.folders |= here.folders
        if not (here.files or here.links):
            found.absent.add(path)
        return
    try:
        kind = file.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return  # deleted here, and not yet in git
    if stat.S_ISLNK(kind):
        found.links[path] = _target(file)
    elif mode == LINK:  # git writes a link as text where the file system, or the user, wants none
        found.links[path] = os.fsdecode(file.read_bytes()).strip("\n")
    elif stat.S_ISREG(kind):
        found.files.add(path)


def _target(link: Path | str) -> str:
    """What a link says, to the letter: a `Path` would lose the slash at the end, which a file cannot have."""
    return os.readlink(link)  # noqa: PTH115


def _of_disk(folder: Path, path: str = "") -> _Found:
    """All below a folder but git's own; `path`: of the folder, from the top."""
    found = _Found()
    for entry in _entries(folder):
        name = os.path.relpath(entry.path, folder)
        name = f"{path}/{name}" if path else name
        if entry.is_symlink():
            found.links[name] = _target(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            found.folders.add(name)
        elif entry.is_file(follow_symlinks=False):
            found.files.add(name)
    return found


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    todo = [str(folder)]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.name == ".git":
                    continue
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
