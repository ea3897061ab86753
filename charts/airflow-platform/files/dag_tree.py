"""What dag-sync keeps on disk: whole versions in a hidden store, and one link per package that is flipped by rename(2).

    <root>/.store/packages/<package>/<version>/       one whole version: dags/… and its manifest.json
    <root>/.store/packages/<package>/.staging/        downloads by content, so that a first sync resumes; work in progress
    <link>/<package> -> …/.store/packages/<package>/<version>
    <link>/.links/                                    where a link is made before the rename
    <link>/.airflowignore                             Airflow must not walk hidden folders: it ends at a folder seen twice

The root is best outside of the links' folder, on another volume: code that searches the DAGs folder finds no old versions.

Nothing here talks to the network. A version folder gets its name by a rename when it is whole and checked; so kill -9
at any line leaves the linked versions as they were.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, RLock

import dag_protocol as protocol
from dag_contents import Limits, Undecided, check_contents
from dag_protocol import Content, File, Manifest, ProtocolError, VersionRef

STORE = ".store"
LINKS = ".links"
STAGING = ".staging"
INODES_OF_A_VERSION = 3  # its folder, dags/ and manifest.json


@dataclass(frozen=True)
class Budget:
    """How much the store may hold, below the volume's own limit: an emptyDir over `sizeLimit` evicts the pod."""

    bytes: int = 1024**3
    inodes: int = 100_000


class Full(OSError):
    """The budget or the disk is used up."""


@dataclass
class _Holding:
    """What one package has in the store: all of it, and the versions that are only kept for running tasks, oldest first."""

    bytes: int = 0
    inodes: int = 0
    retired: list[Path] = field(default_factory=list)


class Tree:
    """The store and the links.

    Args:
        root: folder of the store.
        link: folder in which the package links appear, for Airflow's `dags_folder`; the root by default.
        budget: what the store may hold.
        tracking: where Airflow locks the versions that tasks use, `<package>/<version>`: those are not deleted.
    """

    def __init__(
        self, root: Path, link: Path | None = None, budget: Budget | None = None, tracking: Path | None = None
    ) -> None:
        self.root = root
        self.link = link or root
        self.store = root / STORE
        self.budget = budget or Budget()
        self.tracking = tracking
        self._locks: dict[str, RLock] = defaultdict(RLock)
        self._room = Lock()
        self._reserved: dict[str, Budget] = {}  # of versions that are being built
        self._sizes: dict[Path, Budget] = {}

    def lock(self, package: str) -> RLock:
        """Held while somebody works on a package: what it has is not pruned under its hands."""
        return self._locks[package]

    # --- preparation ----------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the folders, the ignore file, and sweep what a killed run left. Raises OSError."""
        for folder in (
            self.root,
            self.link,
            self.store,
            self.store / "packages",
            self.store / "tmp",
            self.link / LINKS,
        ):
            folder.mkdir(parents=True, exist_ok=True)
            if folder.stat().st_uid == os.geteuid():  # a volume's own folder may be root's, and open to all
                folder.chmod(0o755)
        self.write_ignore_file()
        for left in (self.link / LINKS).iterdir():
            left.unlink()
        for left in (self.store / "tmp").iterdir():
            _remove(left)
        for staging in self.store.glob(f"packages/*/{STAGING}/*"):
            if staging.is_dir() or staging.name.endswith(".part"):
                _remove(staging)

    def write_ignore_file(self) -> bool:
        """Put the links' ignore file in place, by rename, if it is not there as it should be. Return whether it was not."""
        path = self.link / protocol.IGNORE_FILE
        try:
            if path.read_bytes() == protocol.LINKS_IGNORE:
                return False
        except OSError:
            pass
        temporary = self.link / LINKS / "airflowignore"
        temporary.write_bytes(protocol.LINKS_IGNORE)
        temporary.chmod(0o644)
        temporary.replace(path)
        return True

    # --- what is there ----------------------------------------------------------------------------------------

    def packages(self) -> Iterator[str]:
        """Names of the linked packages."""
        for entry in sorted(self.link.iterdir()):
            if entry.is_symlink() and self._target(entry.name):
                yield entry.name

    def strays(self) -> list[str]:
        """Names beside the package links that are none of ours: Airflow would parse what is in them."""
        known = {STORE, LINKS, protocol.IGNORE_FILE, "lost+found", *self.packages()}
        return sorted(entry.name for entry in self.link.iterdir() if entry.name not in known)

    def serving(self, package: str) -> Path | None:
        """Folder of the version that the package's link leads to, or None."""
        target = self._target(package)
        return target if target and target.is_dir() else None

    def served_version(self, package: str) -> str | None:
        """Name of the version that is served, or None."""
        folder = self.serving(package)
        return folder.name.split(".")[0] if folder else None

    def find(self, package: str, ref: VersionRef) -> Path | None:
        """Folder of a version that is whole on disk, the newest build of it, or None.

        The name alone says too little: a package can write another manifest under a name that was used.
        """
        builds = [p for p in self._versions(package) if p.name.split(".")[0] == ref.version and _is_build_of(p, ref)]
        return max(builds, key=_build_number, default=None)

    def newest(self, package: str, version: str) -> Path | None:
        """Folder of a version that is whole on disk, by name: each build was pinned when it was made. The newest, or None."""
        builds = [
            p for p in self._versions(package) if p.name.split(".")[0] == version and (p / "manifest.json").is_file()
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
        for path, content in files.items():
            file = folder / "dags" / path
            try:
                if file.is_symlink() or content != (_sha256_of(file), bool(file.stat().st_mode & stat.S_IXUSR)):
                    return f"{path} is not as published"
            except OSError as error:
                return f"{path} cannot be read ({error.strerror})"
        return None

    def discredit(self, folder: Path) -> None:
        """Have a damaged version built anew: without its manifest it is not found, but stays served till then."""
        (folder / "manifest.json").unlink(missing_ok=True)

    # --- a new version ----------------------------------------------------------------------------------------

    def build(
        self,
        manifest: Manifest,
        document: bytes,
        fetch: Callable[[list[tuple[File, Path]]], None],
        limits: Callable[[], Limits],
    ) -> Path:
        """Put a whole, checked version on disk, not linked yet.

        Args:
            manifest: what it consists of.
            document: the manifest as it is in the bucket, by whose digest the version is found again.
            fetch: writes the bytes of each (file, path); must raise rather than write wrong ones.
            limits: gives those for the check of the contents, when it begins.

        Returns:
            Its folder.

        Raises:
            ProtocolError: the version is not acceptable, now or ever.
            Undecided: whether it is could not be found out in the time given.
            Full: no room, even without the versions that are only kept for running tasks.
            OSError: the disk failed.
        """
        package_folder = self.store / "packages" / manifest.package
        staging = package_folder / STAGING
        staging.mkdir(parents=True, exist_ok=True)
        package_folder.chmod(0o755)
        try:
            # What is there of this version stays: a download that was cut goes on where it was.
            _empty(staging, keep={_blob(file.content) for file in manifest.files})
            self._make_room(manifest)
            missing = self._reuse(manifest, staging)
            fetch([(file, staging / _blob(file.content)) for file in missing])
            work = self._assemble(manifest, document, staging)
            if any(_needs_check(file) for file in manifest.files):
                check_contents(work / "dags", [f.path for f in manifest.files], limits())
            final = package_folder / manifest.version
            while final.exists():
                final = package_folder / f"{manifest.version}.{_build_number(final) + 1}"
            work.rename(final)
        except (ProtocolError, Undecided):
            _empty(staging)  # refused, for good or for now: it must not fill the volume
            raise
        except Full:
            raise
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            while self._give_way(manifest.package):
                pass
            raise Full(error.errno, f"no space left for version {manifest.version} of {manifest.package}") from error
        finally:
            self._reserved.pop(manifest.package, None)
        _empty(staging)
        return final

    def _reuse(self, manifest: Manifest, staging: Path) -> list[File]:
        """Link into staging what the served version has already, re-hashed. Return the files still to fetch."""
        serving = self.serving(manifest.package)
        known: dict[Content, Path] = {}
        if serving:
            try:
                known = {content: serving / "dags" / path for path, content in _manifest_files(serving).items()}
            except (OSError, ValueError, KeyError, TypeError):
                known = {}
        missing: dict[Content, File] = {}
        for file in manifest.files:
            blob = staging / _blob(file.content)
            if file.content in missing or (blob.exists() and _sha256_of(blob) == file.sha256):
                continue
            blob.unlink(missing_ok=True)
            source = known.get(file.content)
            try:
                if source is None or source.is_symlink() or _sha256_of(source) != file.sha256:
                    raise FileNotFoundError
                blob.hardlink_to(source)
            except OSError:
                missing[file.content] = file
        return list(missing.values())

    def _assemble(self, manifest: Manifest, document: bytes, staging: Path) -> Path:
        work = staging / manifest.version
        _remove(work)
        dags = work / "dags"
        dags.mkdir(parents=True)
        for file in manifest.files:
            target = dags / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(staging / _blob(file.content), target)
            target.chmod(0o755 if file.executable else 0o644)
            if target.stat().st_size != file.size:  # of two files with equal bytes only one was fetched
                raise ProtocolError(f"{file.path} is not of the size that the manifest pins")
        (work / "manifest.json").write_bytes(document)
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
        temporary = self.link / LINKS / package
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
            lock = self.lock(folder.name)
            if not lock.acquire(blocking=False):
                continue  # somebody works on it: at the next turn
            try:
                for version in self._retired(folder.name):
                    old = (now or time.time()) - version.stat().st_mtime >= keep_seconds
                    if old and not self._is_used(version):
                        self._drop(version)
                        gone.append(f"{folder.name}/{version.name}")
            finally:
                lock.release()
        return gone

    def usage(self) -> Budget:
        """What the store holds, by the manifests, with what is being built."""
        holdings = self._holdings().values()
        return Budget(sum(h.bytes for h in holdings), sum(h.inodes for h in holdings))

    def _make_room(self, manifest: Manifest) -> None:
        """Reserve what a version needs. Kept versions give way, but never those of a package that keeps to its share."""
        need = Budget(sum(f.size for f in manifest.files), len(manifest.files) + INODES_OF_A_VERSION)
        with self._room:
            self._reserved[manifest.package] = need
            while True:
                used = self.usage()
                if used.bytes <= self.budget.bytes and used.inodes <= self.budget.inodes:
                    return
                if not self._give_way(manifest.package):
                    break
        raise Full(
            errno.ENOSPC,
            f"version {manifest.version} of {manifest.package} needs {need.bytes:,} bytes and {len(manifest.files):,} files, and "
            f"{used.bytes - need.bytes:,} and {used.inodes - need.inodes:,} of {self.budget.bytes:,} and {self.budget.inodes:,} "
            "are in use: raise the budget and the volume",
        )

    def _give_way(self, package: str) -> bool:
        """Delete one retired version: the oldest of the greediest among `package` and those over their share."""
        holdings = self._holdings()
        share = 1 / max(1, len(holdings))

        def part(name: str) -> float:
            return max(holdings[name].bytes / self.budget.bytes, holdings[name].inodes / self.budget.inodes)

        names = [n for n, h in holdings.items() if h.retired and (n == package or part(n) > share)]
        for name in sorted(names, key=part, reverse=True):
            if self.lock(name).acquire(blocking=False):
                try:
                    # Looked at again: it may be served by now, or gone.
                    unused = next((v for v in self._retired(name) if not self._is_used(v)), None)
                    if unused:
                        self._drop(unused)
                        return True
                finally:
                    self.lock(name).release()
        return False

    def _holdings(self) -> dict[str, _Holding]:
        result: dict[str, _Holding] = defaultdict(_Holding)
        for folder in self.store.glob("packages/*"):
            holding = result[folder.name]
            for version in self._versions(folder.name):
                size = self._size(version)
                holding.bytes += size.bytes
                holding.inodes += size.inodes
            holding.retired = self._retired(folder.name)
        for name, size in self._reserved.copy().items():
            result[name].bytes += size.bytes
            result[name].inodes += size.inodes
        return result

    def _size(self, version: Path) -> Budget:
        if version not in self._sizes:
            try:
                files = json.loads((version / "manifest.json").read_bytes())["files"]
                self._sizes[version] = Budget(sum(f["size"] for f in files), len(files) + INODES_OF_A_VERSION)
            except (OSError, ValueError, KeyError, TypeError):
                return Budget(0, 0)
        return self._sizes[version]

    def _retired(self, package: str) -> list[Path]:
        """Versions that are not served, the one that was replaced first before the others."""
        serving = self.serving(package)
        with_times = []
        for version in self._versions(package):
            try:
                with_times.append((version.stat().st_mtime, version))
            except FileNotFoundError:
                continue  # another thread's work
        return [version for _, version in sorted(with_times) if version != serving]

    def _is_used(self, version: Path) -> bool:
        """Whether a task runs that began with it: Airflow holds a shared lock while one does (BundleVersionLock)."""
        if self.tracking is None:
            return False
        try:
            with (self.tracking / version.parent.name / version.name.split(".")[0]).open() as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def _drop(self, version: Path) -> None:
        """Delete a version; out of sight first: half of one must never look like one."""
        doomed = self.store / "tmp" / f"{version.parent.name}-{version.name}"
        version.rename(doomed)
        self._sizes.pop(version, None)
        _remove(doomed)

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


def _needs_check(file: File) -> bool:
    return file.path.endswith(".py") or protocol.is_ignore_file(file.path) or file.size >= protocol.SMALLEST_ARCHIVE


def _link(blob: Path, target: Path) -> None:
    """Give a file another name. A file system allows so many: then a copy goes on in the blob's place."""
    try:
        target.hardlink_to(blob)
    except OSError as error:
        if error.errno != errno.EMLINK:
            raise
        copy = blob.with_name(blob.name + ".part")
        shutil.copyfile(blob, copy)
        copy.replace(blob)
        target.hardlink_to(blob)


def _is_build_of(folder: Path, ref: VersionRef) -> bool:
    try:
        return protocol.sha256((folder / "manifest.json").read_bytes()) == ref.manifest_sha256
    except OSError:
        return False


def _blob(content: Content) -> str:
    """Its name in staging. Hard links share their mode, so files of equal bytes share a blob only if both can be run, or neither."""
    return content.sha256 + (".run" if content.executable else "")


def _manifest_files(folder: Path) -> dict[str, Content]:
    return {
        f["path"]: Content(f["sha256"], f.get("executable", False))
        for f in json.loads((folder / "manifest.json").read_bytes())["files"]
    }


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
