"""Airflow's own walk over a DAGs folder, without ours: the policies put ours in its place in every process that loads them."""

from __future__ import annotations

from pathlib import Path

from airflow._shared.module_loading import file_discovery

import dag_walk

GLOB = file_discovery._GlobIgnoreRule
_found = file_discovery._find_path_from_directory
OWN = _found.own if isinstance(_found, dag_walk.Walk) else _found


def airflows_walk(folder: Path) -> list[str]:
    """Return the files that Airflow comes to. Raises what ends its walk, and the dag-processor with it."""
    return list(OWN(folder, ".airflowignore", GLOB))
