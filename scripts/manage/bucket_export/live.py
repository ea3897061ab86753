"""The live files of each package as a folder that can be published: pointer, manifest, bytes, all from the export itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import dag_protocol as protocol
from dag_protocol import Manifest, ProtocolError

from .bucket import Version
from .folder import Folder


def rebuild(folder: Folder, environment: str, versions: Iterable[Version]) -> tuple[list[str], list[str]]:
    """Make `live` anew; return the packages in it, and a sentence for each pointer that could not be followed.

    Args:
        folder: with the bytes of the versions.
        environment: whose pointers.
        versions: everything in the export.
    """
    prefix = protocol.pointers_prefix(environment)
    pointers = {
        v.key: v for v in versions if v.is_latest and not v.delete_marker and v.key.startswith(prefix)
    }  # fmt: skip
    pointers.pop(protocol.marker_key(environment), None)
    new, packages, warnings = folder.path / "live.new", list[str](), list[str]()
    _remove(new)
    new.mkdir()
    for key, version in sorted(pointers.items()):
        try:
            package = _package(key.removeprefix(prefix))
            if _write(folder, environment, package, version, new):
                packages.append(package)
        except ProtocolError as error:
            warnings.append(f"{key!r} cannot be followed, so {folder.live} lacks that package: {error}")
    _remove(folder.live)
    new.rename(folder.live)
    return packages, warnings


def _package(name: str) -> str:
    """Whose pointer it is. Raises ProtocolError for what only lies beside the pointers."""
    if not name.endswith(".json"):
        raise ProtocolError("its name does not end in .json, so it is no pointer")
    return protocol.check_package(name.removesuffix(".json"))


def _write(folder: Folder, environment: str, package: str, version: Version, new: Path) -> bool:
    """Write the package's files below `new`, unless it is removed. Raises ProtocolError, and has written nothing then."""
    pointer = protocol.decode_pointer(_read(folder, version.sha256, protocol.MAX_POINTER_BYTES), environment, package)
    if pointer.removed:
        return False
    manifest = _manifest(folder, environment, package, pointer)
    for file in manifest.files:
        source = folder.file(file.sha256)
        if not source.is_file() or source.stat().st_size != file.size:
            raise ProtocolError(f"{file.path} of version {manifest.version} is not in the bucket")
    root = new / package / "dags"
    root.mkdir(parents=True)
    for file in manifest.files:  # their paths are checked: none leaves `root`
        target = root / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder.file(file.sha256), target)
        if file.executable:
            target.chmod(0o700)
    return True


def _manifest(folder: Folder, environment: str, package: str, pointer: protocol.Pointer) -> Manifest:
    """The manifest by its digest: whoever overwrote it left the good one among its versions."""
    if not folder.file(pointer.manifest_sha256).is_file():
        raise ProtocolError(f"the manifest of {pointer.version} that it pins is not in the bucket")
    data = _read(folder, pointer.manifest_sha256, protocol.MAX_MANIFEST_BYTES)
    return protocol.decode_manifest(data, environment, package, pointer.ref)


def _read(folder: Folder, sha256: str, limit: int) -> bytes:
    with folder.file(sha256).open("rb") as file:
        return file.read(limit + 1)


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
