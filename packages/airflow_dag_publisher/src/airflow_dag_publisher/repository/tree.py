"""What a repository holds, and where a path in it leads, as Linux would follow it in Airflow's pod."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_LINKS = 40  # Linux follows no more on one path


class Broken(Exception):
    """The path leads nowhere: something is missing, or links go round."""


class Outside(Exception):
    """The path leaves the repository, which is all that is delivered."""


@dataclass(frozen=True)
class Tree:
    """A repository, with its links as they are. Paths are relative to its top, which is the empty path.

    Args:
        top: where it is on this machine.
        files: regular files.
        links: what each link says.
        entries: the names in each folder.
        absent: submodules that are not checked out here.
    """

    top: Path
    files: frozenset[str]
    links: Mapping[str, str]
    entries: Mapping[str, frozenset[str]]
    absent: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        top: Path,
        files: Iterable[str],
        links: Mapping[str, str],
        folders: Iterable[str] = (),
        absent: Iterable[str] = (),
    ) -> Tree:
        """Make a tree; `folders` need only have those that hold nothing."""
        files, folders, absent = frozenset(files), frozenset(folders), frozenset(absent)
        entries: dict[str, set[str]] = defaultdict(set)
        for folder in ("", *folders):
            entries[folder] = set()
        for path in [*files, *links, *folders, *absent]:
            while path:
                folder, _, name = path.rpartition("/")
                known = folder in entries and name in entries[folder]
                entries[folder].add(name)
                if known:
                    break
                path = folder
        return cls(top, files, links, {folder: frozenset(names) for folder, names in entries.items()}, absent)

    def resolve(self, path: str) -> str:
        """Return the file or folder that `path` leads to. Raises Broken, Outside."""
        done: list[str] = []
        todo = path.split("/")[::-1]
        followed = 0
        while todo:
            part = todo.pop()
            if part == "..":
                if not done:
                    raise Outside
                done.pop()
                continue
            here = "/".join([*done, part])
            if part in ("", "."):
                continue
            if (target := self.links.get(here)) is not None:
                followed += 1
                if followed > MAX_LINKS:
                    raise Broken
                if target.startswith("/"):
                    raise Outside
                todo += target.split("/")[::-1]
            elif here in self.entries or (here in self.files and not todo):
                done.append(part)
            else:
                raise Broken
        return "/".join(done)

    def is_folder(self, path: str) -> bool:
        """Whether a path that has no links in it is a folder."""
        return path in self.entries

    def below(self, folder: str) -> list[str]:
        """Return this folder and all in it, without following links."""
        return [path for path in self.entries if not folder or f"{path}/".startswith(f"{folder}/")]
