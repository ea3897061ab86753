"""The folder of an export: what is where, what is known to be in it, and whether it still is."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from dag_protocol import SHA256_PATTERN

from .bucket import THREADS, Id, Version

SCHEMA = 1
AGAIN = "run the export again"


Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows that something of so many steps is under way; gives what is called with the number of steps done."""


class Refused(Exception):
    """A folder that cannot be used for what was asked; the text is one sentence."""


@dataclass(frozen=True)
class Origin:
    """Where an export is from."""

    bucket: str
    environment: str
    region: str


class Folder:
    """The folder `path`; its layout is in the package's docstring."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.about, self.index, self.journal = path / "export.json", path / "index.jsonl", path / "journal.jsonl"
        self.objects, self.live, self._partial = path / "objects", path / "live", path / "partial"

    def begin(self, origin: Origin) -> None:
        """Start an export in an empty folder, or go on in an earlier export of the same bucket. Raises Refused for any other folder."""
        if self.about.exists():
            self._check(self._document(), origin)
        elif any(self.path.iterdir()):
            raise Refused(f"{self.path} is not empty and no export of a bucket; name another folder.")
        else:
            self._write(self.about, _pretty({"schema": SCHEMA, **asdict(origin)}))
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir()

    def known(self) -> dict[Id, Version]:
        """Return what an earlier export has read, finished or not. A line that was cut off is as if it had not been."""
        found: dict[Id, Version] = {}
        for file in (self.index, self.journal):
            for line in file.read_bytes().splitlines() if file.exists() else ():
                try:
                    version = _decoded(line)
                except ValueError:
                    continue
                found[version.id] = version
        return found

    def finish(self, versions: Mapping[Id, Version], more: Mapping[str, Any]) -> None:
        """Write the index, then the document that vouches for it."""
        lines = (json.dumps(asdict(versions[id])) + "\n" for id in sorted(versions))
        data = "".join(lines).encode()
        os.sync()  # the bytes first: after the next lines somebody may empty the bucket
        self._write(self.index, data)
        digest = hashlib.sha256(data).hexdigest()
        self._write(self.about, _pretty({"schema": SCHEMA, **more, "index_sha256": digest}))
        os.sync()
        self.journal.unlink(missing_ok=True)
        shutil.rmtree(self._partial)

    def finished(self, origin: Origin) -> dict[Id, Version]:
        """Return the index. Raises Refused unless it is whole and of this bucket."""
        if not self.about.exists():
            raise Refused(f"{self.path} is no export of a bucket; {AGAIN}.")
        document = self._document()
        self._check(document, origin)
        if not self.index.exists() or "index_sha256" not in document:
            raise Refused(f"the export in {self.path} is not finished; {AGAIN}.")
        data = self.index.read_bytes()
        if hashlib.sha256(data).hexdigest() != document["index_sha256"]:
            raise Refused(f"{self.index} is not as the export wrote it; {AGAIN}.")
        try:
            return {version.id: version for version in map(_decoded, data.splitlines())}
        except ValueError as error:
            raise Refused(f"{self.index} cannot be read ({error}); {AGAIN}.") from None

    def file(self, sha256: str) -> Path:
        """Where the bytes of that digest are."""
        return self.objects / sha256[:2] / sha256

    def damaged(self, versions: Iterable[Version], progress: Progress) -> set[str]:
        """Read every file that these versions need; return the digests of those that are missing or changed."""
        digests = sorted({v.sha256 for v in versions if not v.delete_marker})
        found = set[str]()
        with ThreadPoolExecutor(THREADS) as pool, progress("checking the folder", len(digests)) as tick:
            for digest, good in zip(digests, pool.map(self._holds, digests), strict=True):
                tick(1)
                if not good:
                    found.add(digest)
        return found

    def add(self, write: Callable[[BinaryIO], dict[str, Any]]) -> tuple[str, dict[str, Any]]:
        """Take in the bytes that `write` writes; return their digest and what `write` returned."""
        handle, name = tempfile.mkstemp(dir=self._partial)
        with os.fdopen(handle, "w+b") as file:
            told = write(file)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.file(digest).parent.mkdir(parents=True, exist_ok=True)
        Path(name).replace(self.file(digest))
        return digest, told

    @contextmanager
    def writing(self) -> Iterator[TextIO]:
        """Open the journal for one more part of an export."""
        with self.journal.open("a", buffering=1) as journal:
            yield journal

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other exports, and what empties the bucket, away meanwhile. Raises Refused when one is at work."""
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            raise Refused(f"{self.path} is no folder with an export; {AGAIN}.") from None
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refused(f"somebody else is at work in {self.path}; wait for its end.") from None
            yield
        finally:
            os.close(handle)

    def _holds(self, sha256: str) -> bool:
        try:
            with self.file(sha256).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == sha256
        except FileNotFoundError:
            return False

    def _document(self) -> dict[str, Any]:
        try:
            document = json.loads(self.about.read_bytes())
        except ValueError:
            document = None
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise Refused(
                f"{self.about} is not what an export of this version of manage.sh writes; name another folder."
            )
        return document

    def _check(self, document: Mapping[str, Any], origin: Origin) -> None:
        its = {name: document.get(name) for name in ("bucket", "environment")}
        if its != {"bucket": origin.bucket, "environment": origin.environment}:
            raise Refused(
                f"{self.path} is an export of bucket {its['bucket']} ({its['environment']}), "
                f"not of {origin.bucket} ({origin.environment}); name another folder."
            )

    def _write(self, file: Path, data: bytes) -> None:
        new = file.with_name(f"{file.name}.new")
        new.write_bytes(data)
        new.replace(file)


def encoded(version: Version) -> str:
    """A line of the journal."""
    return json.dumps(asdict(version)) + "\n"


def _pretty(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2) + "\n").encode()


def _decoded(line: bytes) -> Version:
    document = json.loads(line)
    names = {f.name for f in fields(Version)}
    if not isinstance(document, dict) or set(document) != names:
        raise ValueError("a line is not that of a version")
    version = Version(**document)
    if not isinstance(version.key, str) or not isinstance(version.version_id, str):
        raise ValueError("a line names no version")
    if not version.delete_marker and not re.fullmatch(SHA256_PATTERN, str(version.sha256)):
        raise ValueError(f"{version.name} has no SHA-256")
    return version
