"""A DAG bundle for each package, over dag-sync's store: a run keeps the version that it began with.

    <dags>/<package>                                  the link that dag-sync flips: which version is live
    <root>/.store/packages/<package>/<version>        what dag-sync built
    <storage>/<package>/live/<package>                our link to what was live at the last refresh: dag-processor parses it
    <storage>/<package>/versions/<version>/<package>  our link to a version: what a run uses

The bundle's name is the package's, its version dag-sync's, and below both paths a file is `<package>/dags/…`, as it always
was. Nothing is downloaded here: a version that is not on disk is asked of dag-sync, which alone knows the bucket. The
storage is Airflow's (`dag_bundle_storage_path`), which has its locks there too.

`live` does not change with the version: what was queued before a refresh is parsed at the path of then, and filed under
the version of now. And it is not dag-sync's own link: a file would be parsed before the refresh that makes the version
known, and be filed under the one before. A version's folder is a real one with a link in it, since Airflow's cleanup
deletes it: the store, never.

What differs between Airflow 3.2 and 3.3 is said at `BundleVersion` and at `_keep_callbacks`.
"""

from __future__ import annotations

import fcntl
import functools
import os
import re
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from abc import abstractmethod
from http.client import HTTPException
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.dag_processing.bundles import base
from airflow.dag_processing.bundles.base import BaseDagBundle
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.sdk.exceptions import AirflowException

from dag_protocol import IGNORE_FILE, LINKS_IGNORE, PACKAGE_PATTERN, VERSION_PATTERN

STORE = ".store"  # as in dag_tree.py, which is dag-sync's and knows no Airflow
REMOVED = "removed"  # the version of a package that is not live: with None Airflow 3.2 would not see it come back
NEVER = 10**9  # seconds
TOUCH_SECONDS = 2.0  # for dag-sync to note that a version is used
# Where a pod has them, by the names of dag-sync's own settings.
DAGS = os.environ.get("DAG_SYNC_LINK", "/opt/airflow/dags")
ROOT = os.environ.get("DAG_SYNC_ROOT", "/opt/airflow/dag-store")
SYNC_URL = os.environ.get("DAG_SYNC_VERSIONS_URL", "http://127.0.0.1:9105")
BundleVersion: Any = getattr(base, "BundleVersion", None)
"""Since Airflow 3.3 a version is this; before, a string."""


class Lazy(BaseDagBundle):
    """A bundle that is refreshed when there is something new, and only then: a refresh walks and writes, a look is free."""

    seen: object = None

    @abstractmethod
    def now(self) -> object:
        """What there is to be seen."""

    @property
    def refresh_interval(self) -> int:
        """Seconds that a refresh is good for, as Airflow asks in each turn."""
        return NEVER if self.seen is not None and self.seen == self.now() else 0

    @refresh_interval.setter
    def refresh_interval(self, value: int) -> None:
        pass  # the configured one

    def initialize(self) -> None:
        """See Airflow."""
        _keep_callbacks()
        super().initialize()


class PackageBundle(Lazy):
    """The versions of one package.

    Args:
        dags: folder of dag-sync's links.
        root: folder of its store.
        sync_url: where dag-sync answers in this pod; a task pod of KubernetesExecutor has none, and its version on the disk.
        wait: seconds to wait for a version that dag-sync has to fetch; less than a dag-processor may stand still for a
            callback's ([dag_processor] health_check_threshold).
    """

    supports_versioning = True

    def __init__(
        self,
        *,
        dags: str = DAGS,
        root: str = ROOT,
        sync_url: str = SYNC_URL,
        wait: float = 45,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dags = Path(dags)
        self.builds = Path(root) / STORE / "packages" / self.name
        self.sync_url = sync_url
        self.wait = wait

    def initialize(self) -> None:
        """Have the files on disk. Raises AirflowException, the only kind that 3.2's dag-processor survives."""
        if self.version is None:
            self.refresh()
        else:
            if not re.fullmatch(VERSION_PATTERN, self.version):
                raise AirflowException(f"{self.version!r} is no version of package {self.name!r}")
            self._have(self.version)
        super().initialize()

    @property
    def path(self) -> Path:
        """The folder that has the package in it."""
        return self.versions_dir / self.version if self.version else self.base_dir / "live"

    def get_current_version(self) -> Any:
        """The version that was live at the last refresh."""
        version = self.version or self.seen or self.now()
        return BundleVersion(version) if BundleVersion else version

    def refresh(self) -> None:
        """Take what is live now. Raises AirflowException: no store is no reason to take a package's DAGs away."""
        if self.version is not None:
            raise AirflowException("a pinned version is never refreshed")
        if not self.builds.parent.is_dir():
            raise AirflowException(
                f"dag-sync's store is not at {self.builds.parents[2]}; the DAGs of {self.name} stay as they are"
            )
        seen = self.now()
        build = self._build(seen) if seen != REMOVED else None
        if build is None and seen != REMOVED:
            raise AirflowException(f"the link of package {self.name!r} leads nowhere; its DAGs stay as they are")
        self._point(build)
        self.seen = seen

    def now(self) -> str:
        """The version that dag-sync's link leads to."""
        try:
            return (self.dags / self.name).readlink().name.split(".")[0]
        except OSError:
            return REMOVED

    def _have(self, version: str) -> None:
        """Have a version on disk, and our link to it."""
        try:
            self._ask(TOUCH_SECONDS if self._build(version) else self.wait)
        except AirflowException:
            if not self._build(version):
                raise
        try:
            with self.lock():
                self._point(self._build(version))
                self._forget()
        except OSError as error:
            raise AirflowException(f"the storage of bundles cannot be used: {error}") from error

    def _build(self, version: str) -> Path | None:
        """The newest build of a version that is whole on disk: a damaged one is built again beside itself."""
        name = re.compile(re.escape(version) + r"(\.\d+)?")
        builds = [p for p in self.builds.glob(f"{version}*") if name.fullmatch(p.name) and (p / "dags").is_dir()]
        return max(builds, key=lambda p: int(p.suffix[1:] or 0), default=None)

    def _point(self, build: Path | None) -> None:
        """Lead our link there, by a rename, or nowhere."""
        link = self.path / self.name
        try:
            _make_folder(self.path)
            if build is None:
                link.unlink(missing_ok=True)
            elif not (link.is_symlink() and link.readlink() == build):
                _flip(link, build)
        except OSError as error:
            raise AirflowException(f"the link to package {self.name!r} cannot be made: {error}") from error

    def _forget(self) -> None:
        """Delete our folders of versions that dag-sync does not keep any more, unless a task holds one."""
        for folder in self.versions_dir.iterdir():
            if not (folder / self.name).exists() and not _is_locked(
                base.get_bundle_tracking_file(self.name, folder.name)
            ):
                shutil.rmtree(folder, ignore_errors=True)

    def _ask(self, seconds: float) -> None:
        what = f"version {self.version} of package {self.name!r}"
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback, whatever proxy the pod has
        try:
            with direct.open(f"{self.sync_url}/versions/{self.name}/{self.version}", timeout=seconds):
                pass
        except urllib.error.HTTPError as error:  # dag-sync says why, in a sentence
            raise AirflowException(f"{what}: {error.read(500).decode(errors='replace').strip()}") from None
        except (OSError, HTTPException) as error:  # the latter: something else answers there
            raise AirflowException(f"{what} is not on disk, and dag-sync does not answer: {error}") from None
        if not self._build(str(self.version)):
            raise AirflowException(f"{what} is not on disk, though dag-sync says so")


class OtherPackages(Lazy):
    """The packages that have no bundle of their own yet, unversioned, by links of our own to dag-sync's.

    Args:
        dags: folder of dag-sync's links.
    """

    supports_versioning = False

    def __init__(self, *, dags: str = DAGS, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dags = Path(dags)

    def initialize(self) -> None:
        """Make the links. Raises AirflowException."""
        self.refresh()
        super().initialize()

    @property
    def path(self) -> Path:
        """The folder with the links."""
        return self.base_dir / "live"

    def get_current_version(self) -> None:
        """None: these are not versioned."""

    def refresh(self) -> None:
        """Take the links that are there now. Raises AirflowException: a folder that is away is no reason to take DAGs away."""
        seen = self.now()
        if seen is None:
            raise AirflowException(f"{self.dags} cannot be read; the DAGs in it stay as they are")
        try:
            _make_folder(self.path)
            wanted = {name for name, *_ in seen}
            for link in self.path.iterdir():
                if link.is_symlink() and link.name not in wanted:
                    link.unlink()
            for name in wanted:
                if not (self.path / name).is_symlink():
                    _flip(self.path / name, self.dags / name)
        except OSError as error:
            raise AirflowException(f"the links in {self.path} cannot be made: {error}") from error
        self.seen = seen

    def now(self) -> list[tuple[str, int, int]] | None:
        """The links, and when each was flipped; None where the folder is away."""
        others = _bundles()
        try:
            with os.scandir(self.dags) as entries:
                links = [e for e in entries if e.is_symlink() and not e.name.startswith(".") and e.name not in others]
            stats = [(link.name, link.stat(follow_symlinks=False)) for link in links]
        except OSError:
            return None
        return sorted((name, stat.st_mtime_ns, stat.st_ino) for name, stat in stats)


def install() -> None:
    """Have every process know the bundle of every package, in its list or not.

    The list is that of a process's start. A dag-processor with a newer one files DAGs under a bundle that a scheduler, or a
    worker, does not know yet, and the tasks that these start would fail ("Requested bundle … is not configured").
    """
    own = DagBundlesManager.get_bundle
    if hasattr(own, "__wrapped__"):
        return

    @functools.wraps(own)
    def get_bundle(self: Any, name: str, version: str | None = None) -> Any:
        if name not in self._bundle_config and re.fullmatch(PACKAGE_PATTERN, name) and Path(DAGS).is_dir():
            return PackageBundle(name=name, version=version)
        return own(self, name, version)

    DagBundlesManager.get_bundle = get_bundle  # type: ignore[method-assign]


def _bundles() -> set[str]:
    """Names of all configured bundles."""
    listed: Any = conf.getjson("dag_processor", "dag_bundle_config_list")  # Airflow has read it, so it can be read
    return {entry["name"] for entry in listed or []}


def _make_folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ignore = folder / IGNORE_FILE
    if not ignore.is_file() or ignore.read_bytes() != LINKS_IGNORE:
        ignore.write_bytes(LINKS_IGNORE)


def _flip(link: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=link.parent.parent) as folder:
        (Path(folder) / "link").symlink_to(target)
        (Path(folder) / "link").replace(link)


def _is_locked(file: Path) -> bool:
    """Whether a task uses the version of this tracking file."""
    try:
        with file.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _keep_callbacks() -> None:
    """Have Airflow 3.2's dag-processor keep callbacks of pinned runs when it finds that files are gone.

    In each turn in which any bundle was refreshed it drops queued files and kills running ones that it did not scan; what
    it scans has no version, a callback's file has one (apache/airflow#66483, mended in 3.3 by #66484).
    """
    module = sys.modules.get("airflow.dag_processing.manager")  # loaded in a dag-processor alone
    if module is None or BundleVersion is not None:
        return
    manager = module.DagFileProcessorManager
    own = manager.handle_removed_files
    if hasattr(own, "__wrapped__"):
        return

    @functools.wraps(own)
    def handle_removed_files(self: Any, known_files: dict[str, set[Any]]) -> None:
        pinned = {file for file in (*self._file_queue, *self._processors) if file.bundle_version}
        own(self, {**known_files, "of callbacks": pinned})

    manager.handle_removed_files = handle_removed_files
