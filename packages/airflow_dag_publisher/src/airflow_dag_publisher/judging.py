"""Whether dag-sync would serve a version: its files are fetched and held to the rules that dag-sync holds them to."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import dag_protocol as protocol
from dag_contents import Limits, Undecided, check_contents
from dag_package import Session
from dag_protocol import File, Manifest, ProtocolError

from .refusing import AIRFLOWS_PYTHON
from .rollback import contents


def refusal(session: Session, manifest: Manifest) -> str | None:
    """Say why dag-sync would refuse a version, or None. What cannot be found out here is left to dag-sync.

    That is what takes more than a minute, and what does not compile where Python is older than Airflow's. Raises
    StoreError, Missing too.
    """
    wanted = contents(session, manifest.by_path)

    def fetch(file: File) -> None:
        data = wanted[file.path].load()
        if protocol.sha256(data) != file.sha256:
            raise ProtocolError(f"{file.path} is not what the manifest pins")
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        try:
            session.each(fetch, manifest.files)
            check_contents(folder, [file.path for file in manifest.files], Limits())
        except ProtocolError as error:
            return None if _of_another_python(str(error)) else str(error)
        except Undecided:
            return None
    return None


def _of_another_python(refusal: str) -> bool:
    wanted = tuple(int(part) for part in AIRFLOWS_PYTHON.split("."))
    return ": does not compile: " in refusal and sys.version_info[:2] < wanted
