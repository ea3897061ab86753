"""Airflow's walk over the DAGs folder, which follows links and ends the dag-processor at a folder that it comes to twice.

Airflow (`_find_path_from_directory` in airflow/_shared/module_loading/file_discovery.py) prunes what ignore files leave
out. This walk prunes nothing, so whatever Airflow comes to, it comes to as well: what passes here does not end there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..validate.report import Code, Finding
from .tree import Broken, Outside, Tree


@dataclass
class Walked:
    """What the walk came to.

    Args:
        files: by the path below the DAGs folder that Airflow sees, the path from the repository's top.
        findings: links that cannot be delivered or followed.
    """

    files: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def walk_dags(tree: Tree, base: str) -> Walked:
    """Walk from `base`, a folder of the repository. Each folder is entered once, so the time is that of the repository."""
    walked = Walked()
    # What is there without any link comes first, so that of two ways it is the link that is told.
    seen = {folder: _relative(folder, base) for folder in tree.below(base)}
    todo = [(base, "")]
    while todo:
        folder, shown_folder = todo.pop()
        for name in sorted(tree.entries[folder]):
            path = f"{folder}/{name}".removeprefix("/")
            shown = f"{shown_folder}/{name}".removeprefix("/")
            real = _followed(tree, path, shown, walked)
            if real is None:
                continue
            if not tree.is_folder(real):
                walked.files[shown] = real
            elif (first := seen.setdefault(real, shown)) == shown:
                todo.append((real, shown))
            else:
                walked.findings.append(_second_way(shown, first))
    return walked


def _relative(folder: str, base: str) -> str:
    return folder.removeprefix(base).removeprefix("/")


def _followed(tree: Tree, path: str, shown: str, walked: Walked) -> str | None:
    """Where the path leads; None, and a finding, where that is nowhere."""
    if path in tree.absent:
        walked.findings.append(
            Finding(
                shown, 1, Code.UNREADABLE, "is a submodule that is not here; git submodule update --init --recursive"
            )
        )
        return None
    if path not in tree.links:
        return path
    try:
        return tree.resolve(path)
    except Outside:
        walked.findings.append(_outside(shown, tree.links, path))
    except Broken:
        walked.findings.append(_broken(shown, tree.links, path))
    return None


def _second_way(shown: str, first: str) -> Finding:
    return Finding(
        shown, 1, Code.LINKED_FOLDER,
        f"is the same folder as {repr(first) if first else 'the DAGs folder itself'}, and a folder that Airflow comes to twice "
        "ends its dag-processor ('Detected recursive loop'), for everybody; link single files, copy them, or put shared code "
        "into Airflow's image",
    )  # fmt: skip


def _outside(shown: str, links: Mapping[str, str], path: str) -> Finding:
    return Finding(
        shown, 1, Code.OUTSIDE_LINK,
        f"leads out of the repository (to {links[path]!r}), which is all that is delivered; "
        "copy what it leads to into the repository",
    )  # fmt: skip


def _broken(shown: str, links: Mapping[str, str], path: str) -> Finding:
    return Finding(
        shown, 1, Code.BROKEN_LINK,
        f"is a link that leads nowhere (to {links[path]!r}); mend or delete it, and see that its target is in git",
    )  # fmt: skip
