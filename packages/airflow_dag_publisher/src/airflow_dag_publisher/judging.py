"""Whether dag-sync would serve a version: its files are fetched and held to the rules that dag-sync holds them to."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import dag_protocol as protocol
from dag_contents import Limits, Undecided, check_contents
from dag_package import Session
from dag_protocol import File, Manifest, ProtocolError

from .rollback import contents


def refusal(session: Session, manifest: Manifest) -> str | None:
    """Say why dag-sync would refuse a version, or None. What cannot be found out in a minute is left to dag-sync.

    Python here may be another than Airflow's, which knows more or less of the language. Raises StoreError, Missing too.
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
            return str(error)
        except Undecided:
            return None
    return None
