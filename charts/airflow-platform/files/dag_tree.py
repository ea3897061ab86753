"""What dag-sync keeps on disk: whole versions in a hidden store, and one link per package that is flipped by rename(2).

    <root>/.airflowignore                             Airflow must not walk the store: it ends at a folder seen twice
    <root>/.store/packages/<package>/<version>/       one whole version: dags/… and its manifest.json
    <root>/.store/packages/<package>/.staging/        downloads by content, so that a first sync resumes; work in progress
    <link>/<package> -> …/.store/packages/<package>/<version>

Nothing here talks to the network. A version folder gets its name by a rename when it is whole and checked; so kill -9
at any line leaves the linked versions as they were.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import dag_protocol as protocol
from dag_protocol import File, Manifest, ProtocolError

STORE = ".store"
STAGING = ".staging"
# Order matters: everything, but folders to walk, but Python, never hidden (facts: each other order lost DAGs or ended
# the dag-processor).
ROOT_IGNORE = b"*\n!*/\n!*.py\n.*/\n"
COMPILER = Path(__file__).with_name("dag_compile.py")
COMPILE_SECONDS = 30
INODES_OF_A_VERSION = 3  # its folder, dags/ and manifest.json


@dataclass(frozen=True)
class Budget:
    """How much the store may hold, below the volume's own limit: an emptyDir over `sizeLimit` evicts the pod."""

    bytes: int = 1024**3
    inodes: int = 100_000


class Full(OSError):
    """The budget or the disk is used up."""


class Tree:
    """The store and the links.

    Args:
        root: folder of the store; must be on the same volume as `link`.
        link: folder in which the package links appear, for Airflow's `dags_folder`.
        budget: what the store may hold.
    """

    def __init__(self, root: Path, link: Path | None = None, budget: Budget | None = None) -> None:
        self.root = root
        self.link = link or root
        self.store = root / STORE
        self.budget = budget or Budget()

    # --- preparation ----------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the folders, the ignore file, and sweep what a killed run left. Raises OSError."""
        for folder in (
            self.root,
            self.link,
            self.store,
            self.store / "packages",
            self.store / "links",
            self.store / "tmp",
        ):
            folder.mkdir(parents=True, exist_ok=True)
            if folder.stat().st_uid == os.geteuid():  # a volume's own folder may be root's, and open to all
                folder.chmod(0o755)
        self.write_ignore_file()
        for left in (self.store / "links").iterdir():
            left.unlink()
        for left in (self.store / "tmp").iterdir():
            _remove(left)
        for staging in self.store.glob(f"packages/*/{STAGING}/*"):
            if staging.is_dir() or staging.name.endswith(".part"):
                _remove(staging)

    def write_ignore_file(self) -> bool:
        """Put the root's ignore file in place, by rename, if it is not there as it should be. Return whether it was not."""
        wrong = False
        for folder in {self.root, self.link}:
            path = folder / protocol.IGNORE_FILE
            try:
                if path.read_bytes() == ROOT_IGNORE:
                    continue
            except OSError:
                pass
            wrong = True
            temporary = self.store / "tmp" / "airflowignore"
            temporary.write_bytes(ROOT_IGNORE)
            temporary.chmod(0o644)
            temporary.replace(path)
        return wrong

    # --- what is there ----------------------------------------------------------------------------------------

    def packages(self) -> Iterator[str]:
        """Names of the linked packages."""
        for entry in sorted(self.link.iterdir()):
            if entry.is_symlink() and self._target(entry.name):
                yield entry.name

    def strays(self) -> list[str]:
        """Names beside the package links that are none of ours: Airflow would parse what is in them."""
        known = {STORE, protocol.IGNORE_FILE, "lost+found", *self.packages()}
        return sorted(entry.name for entry in self.link.iterdir() if entry.name not in known)

    def serving(self, package: str) -> Path | None:
        """Folder of the version that the package's link leads to, or None."""
        target = self._target(package)
        return target if target and target.is_dir() else None

    def served_version(self, package: str) -> str | None:
        """Name of the version that is served, or None."""
        folder = self.serving(package)
        return folder.name.split(".")[0] if folder else None

    def find(self, package: str, version: str) -> Path | None:
        """Folder of a version that is whole on disk, the newest build of it, or None."""
        builds = [
            p for p in self._versions(package) if p.name.split(".")[0] == version and (p / "manifest.json").exists()
        ]
        return max(builds, key=_build_number, default=None)

    def verify(self, folder: Path) -> str | None:
        """Hash a version's files against its manifest. Return what is wrong, in a sentence, or None."""
        try:
            files = _manifest_files(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"its manifest cannot be read ({error})"
        found = {
            p.relative_to(folder / "dags").as_posix()
            for p in (folder / "dags").rglob("*")
            if not p.is_dir() or p.is_symlink()
        }
        extra = sorted(path for path in found - files.keys() if "__pycache__" not in path.split("/"))
        if extra:
            return f"{extra[0]} does not belong to it"
        for path, digest in files.items():
            file = folder / "dags" / path
            try:
                if file.is_symlink() or _sha256_of(file) != digest:
                    return f"{path} is not as published"
            except OSError as error:
                return f"{path} cannot be read ({error.strerror})"
        return None

    def discredit(self, folder: Path) -> None:
        """Have a damaged version built anew: without its manifest it is not found, but stays served till then."""
        (folder / "manifest.json").unlink(missing_ok=True)

    # --- a new version ----------------------------------------------------------------------------------------

    def build(self, manifest: Manifest, fetch: Callable[[list[tuple[File, Path]]], None]) -> Path:
        """Put a whole, checked version on disk, not linked yet.

        Args:
            manifest: what it consists of.
            fetch: writes the bytes of each (file, path); must raise rather than write wrong ones.

        Returns:
            Its folder.

        Raises:
            ProtocolError: the version is not acceptable, now or ever.
            Full: no room, even without the versions that are only kept for running tasks.
            OSError: the disk failed.
        """
        package_folder = self.store / "packages" / manifest.package
        staging = package_folder / STAGING
        staging.mkdir(parents=True, exist_ok=True)
        package_folder.chmod(0o755)
        try:
            _empty(staging, keep={f.sha256 for f in manifest.files})  # of this version a cut download is resumed
            self._make_room(manifest)
            missing = self._reuse(manifest, staging)
            fetch([(file, staging / file.sha256) for file in missing])
            work = self._assemble(manifest, staging)
            compile_all(work / "dags", [f.path for f in manifest.files if f.path.endswith(".py")])
        except ProtocolError:
            _empty(staging)  # refused for good: it must not fill the volume
            raise
        except Full:
            raise
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            self.prune(0)
            raise Full(error.errno, f"no space left for version {manifest.version} of {manifest.package}") from error
        final = package_folder / manifest.version
        while final.exists():
            final = package_folder / f"{manifest.version}.{_build_number(final) + 1}"
        work.rename(final)
        _empty(staging)
        return final

    def _reuse(self, manifest: Manifest, staging: Path) -> list[File]:
        """Link into staging what the served version has already, re-hashed. Return the files still to fetch."""
        serving = self.serving(manifest.package)
        known: dict[str, Path] = {}
        if serving:
            try:
                known = {digest: serving / "dags" / path for path, digest in _manifest_files(serving).items()}
            except (OSError, ValueError, KeyError, TypeError):
                known = {}
        missing: dict[str, File] = {}
        for file in manifest.files:
            blob = staging / file.sha256
            if file.sha256 in missing or (blob.exists() and _sha256_of(blob) == file.sha256):
                continue
            blob.unlink(missing_ok=True)
            source = known.get(file.sha256)
            try:
                if source is None or source.is_symlink() or _sha256_of(source) != file.sha256:
                    raise FileNotFoundError
                blob.hardlink_to(source)
            except OSError:
                missing[file.sha256] = file
        return list(missing.values())

    def _assemble(self, manifest: Manifest, staging: Path) -> Path:
        work = staging / manifest.version
        _remove(work)
        dags = work / "dags"
        dags.mkdir(parents=True)
        for file in manifest.files:
            target = dags / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(staging / file.sha256)
            target.chmod(0o644)
            if target.stat().st_size != file.size:  # of two files with equal bytes only one was fetched
                raise ProtocolError(f"{file.path} is not of the size that the manifest pins")
            if protocol.is_ignore_file(file.path) or file.size >= 22:  # the smallest zip
                _check_content(file, target)
        (work / "manifest.json").write_bytes(manifest.encode())
        (work / "manifest.json").chmod(0o644)
        for folder in (work, *(p for p in work.rglob("*") if p.is_dir())):
            folder.chmod(0o755)
        return work

    # --- links ------------------------------------------------------------------------------------------------

    def flip(self, package: str, folder: Path) -> None:
        """Serve `folder`: one rename, so that a reader sees the version before or this one. Raises OSError."""
        link = self.link / package
        if link.exists() and not link.is_symlink():
            raise FileExistsError(errno.EEXIST, f"{link} is in the way: it is not a link of dag-sync's; move it away")
        before = self.serving(package)
        _empty(self.store / "packages" / package / STAGING)  # killed before, it is done at the next start
        temporary = self.store / "links" / package
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(os.path.relpath(folder, self.link))
        temporary.replace(link)
        if before and before != folder:
            os.utime(before)  # kept from now on

    def unlink(self, package: str) -> bool:
        """Serve the package no more. Return whether it was."""
        before = self.serving(package)
        if not (self.link / package).is_symlink():
            return False
        (self.link / package).unlink()
        if before:
            os.utime(before)
        return True

    def touch(self, folder: Path) -> None:
        """Give every .py a new time: Airflow re-parses by mtime, also what only imports a changed helper."""
        for path in folder.rglob("*.py"):
            try:
                os.utime(path)
            except FileNotFoundError:
                return  # pruned meanwhile

    # --- room -------------------------------------------------------------------------------------------------

    def prune(self, keep_seconds: float, now: float | None = None) -> list[str]:
        """Delete versions that are not served and were retired `keep_seconds` ago. Return their names."""
        gone = []
        for folder in self.store.glob("packages/*"):
            serving = self.serving(folder.name)
            for version in self._versions(folder.name):
                if version != serving and (now or time.time()) - version.stat().st_mtime >= keep_seconds:
                    # Out of sight first: half of a version must never look like one.
                    doomed = self.store / "tmp" / f"{folder.name}-{version.name}"
                    version.rename(doomed)
                    _remove(doomed)
                    gone.append(f"{folder.name}/{version.name}")
        return gone

    def usage(self) -> Budget:
        """What the store holds, by the manifests."""
        used = inodes = 0
        for folder in self.store.glob("packages/*"):
            for version in self._versions(folder.name):
                try:
                    files = json.loads((version / "manifest.json").read_bytes())["files"]
                except (OSError, ValueError, KeyError, TypeError):
                    continue
                used += sum(f["size"] for f in files)
                inodes += len(files) + INODES_OF_A_VERSION
        return Budget(used, inodes)

    def _make_room(self, manifest: Manifest) -> None:
        need = sum(f.size for f in manifest.files)
        for keep in (None, 0):
            if keep is not None:
                self.prune(keep)
            used = self.usage()
            if (
                used.bytes + need <= self.budget.bytes
                and used.inodes + len(manifest.files) + INODES_OF_A_VERSION <= self.budget.inodes
            ):
                return
        raise Full(
            errno.ENOSPC,
            f"version {manifest.version} of {manifest.package} needs {need:,} bytes and {len(manifest.files):,} files, and "
            f"{used.bytes:,} and {used.inodes:,} of {self.budget.bytes:,} and {self.budget.inodes:,} are in use: raise the budget and the volume",
        )

    def _versions(self, package: str) -> list[Path]:
        try:
            return [p for p in (self.store / "packages" / package).iterdir() if not p.name.startswith(".")]
        except FileNotFoundError:
            return []

    def _target(self, package: str) -> Path | None:
        """Where a package's link leads, if it leads into our store."""
        try:
            target = (self.link / package).readlink()
        except OSError:
            return None
        folder = Path(os.path.normpath(self.link / target))
        return folder if folder.parent == self.store / "packages" / package else None


def compile_all(folder: Path, paths: list[str]) -> None:
    """Raise ProtocolError unless every file compiles within the limits of dag_compile, in a child."""
    if not paths:
        return
    command = [sys.executable, "-I", "-S", str(COMPILER), str(folder)]
    try:
        done = subprocess.run(
            command, input="\n".join(paths), capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        at = (error.stderr or b"").decode(errors="replace").rsplit("\r", 1)[-1]
        raise ProtocolError(f"{at}: does not compile within {COMPILE_SECONDS} seconds") from None
    if done.returncode:
        at = done.stderr.split("\n")[0].rsplit("\r", 1)[-1]
        raise ProtocolError(
            done.stdout.strip() or f"{at}: does not compile: it ended the compiler (status {done.returncode})"
        )


def _check_content(file: File, path: Path) -> None:
    """The rules for content; a large file is not read whole for them."""
    if file.size <= protocol.MAX_PYTHON_BYTES:
        protocol.check_content(file.path, path.read_bytes())
    else:
        protocol.check_zip(file.path, path)


def _manifest_files(folder: Path) -> dict[str, str]:
    return {f["path"]: f["sha256"] for f in json.loads((folder / "manifest.json").read_bytes())["files"]}


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _build_number(folder: Path) -> int:
    _, _, number = folder.name.partition(".")
    return int(number or 0)


def _empty(folder: Path, keep: Collection[str] = ()) -> None:
    """Delete what is in `folder`, if there is one, but for the names to keep."""
    for path in folder.iterdir() if folder.exists() else ():
        if path.name not in keep:
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
