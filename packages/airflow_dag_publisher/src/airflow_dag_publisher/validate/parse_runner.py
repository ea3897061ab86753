"""Parses a package with the Airflow of this Python: `parse_runner.py FOLDER`, started by `parse.py`.

Reads FOLDER/request.json and writes FOLDER/results.json. Airflow is imported once; each file has a fork of its own, as
in Airflow's dag-processor, so that one that exits, hangs or eats memory takes no other with it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import BundleDagBag
from airflow.dag_processing.importers import get_importer_registry
from airflow.serialization.serialized_objects import DagSerialization


def main(folder: Path) -> None:
    """Parse every file that Airflow would, and write what came of it."""
    request = json.loads((folder / "request.json").read_text())
    dags = Path(request["dags"])
    listed = get_importer_registry().list_dag_files(request["root"], True)
    files = sorted(Path(file) for file in listed)
    results = []
    for number, file in enumerate(files):
        path = file.relative_to(dags).as_posix()
        if path not in request["skip"]:
            results.append({"path": path, **_parse(file, folder / f"result-{number}.json", request)})
    partial = folder / "results.partial"
    partial.write_text(json.dumps(results))
    partial.rename(folder / "results.json")


def _parse(file: Path, output: Path, request: dict[str, Any]) -> dict[str, Any]:
    started = time.monotonic()
    if started >= request["deadline"]:
        return {"ending": "not started"}
    process = multiprocessing.get_context("fork").Process(target=_parse_here, args=(file, output, request))
    process.start()
    process.join(min(request["file_seconds"], request["deadline"] - started))
    if process.is_alive():
        process.kill()
        process.join()
        return {"ending": "timeout", "seconds": time.monotonic() - started}
    with suppress(OSError, ValueError):
        return {"ending": "parsed", **json.loads(output.read_text())}
    return {"ending": "exit", "status": process.exitcode}


def _parse_here(file: Path, output: Path, request: dict[str, Any]) -> None:
    """In the fork. It leaves by `_exit`, since threads that the file started could hold up any other way out."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
    try:
        result = _describe(
            BundleDagBag(dag_folder=str(file), bundle_path=Path(request["root"]), bundle_name="dags-folder")
        )
    except BaseException as error:
        result = {"errors": [f"{type(error).__name__}: {error}".removesuffix(": ")]}
    output.write_text(json.dumps(result))
    os._exit(0)


def _describe(bag: BundleDagBag) -> dict[str, Any]:
    unserializable = {}
    for dag in bag.dags.values():
        try:
            DagSerialization.to_dict(dag)
        except Exception as error:
            unserializable[dag.dag_id] = (str(error) or type(error).__name__).splitlines()[0]
    return {
        "dags": [{"dag_id": d.dag_id, "owners": _owners(d), "tags": sorted(d.tags)} for d in bag.dags.values()],
        "errors": list(bag.import_errors.values()),
        "unserializable": unserializable,
        "warnings": [text for texts in bag.captured_warnings.values() for text in texts],
    }


def _owners(dag: Any) -> list[str]:
    return sorted({task.owner for task in dag.tasks} or {dag.default_args.get("owner", "")})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
