"""Airflow's walk over the DAGs folder, held so that what one package holds does not end it for all.

dag-processor walks outside of any `try` (`_find_files_in_bundle` in airflow/dag_processing/manager.py). It ends at a folder
that it comes to twice through links (kubernetes/git-sync#913), at an ignore file that is no text or no pattern, at some
archives; a pattern with many stars keeps it busy for hours. dag-sync refuses such a version; what git-sync, an image or a
volume brings, nobody refuses.

Airflow's own walk is tried first, so nothing changes while it comes to its end. If it does not, each folder in the DAGs
folder is walked by itself: a second way to a folder is not followed, and a folder whose ignore file cannot be used is
left out, since what it hid was never meant to be run. Each is told once in the log.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Any

CPU_SECONDS = 10.0  # of one walk: 100,000 names and 100 patterns take three
PAUSE = 300.0  # seconds for which a folder that took too long is not tried again
MAX_BYTES = (
    64 * 1024 * 1024
)  # of a file that Airflow reads whole to see whether it has a DAG; unpacked, if it is an archive

log = logging.getLogger(__name__)


def install() -> None:
    """Put the walk below in the place of Airflow's, in this process.

    Every caller goes through `find_path_from_directory`, which looks this name up when it is called.
    """
    from airflow._shared.module_loading import file_discovery

    own = getattr(file_discovery, "_find_path_from_directory", None)
    if own is None:
        log.error(
            "this Airflow walks the DAGs folder in another way: a package's links or ignore file can end it for all"
        )
    elif not isinstance(own, Walk):
        file_discovery._find_path_from_directory = Walk(own)  # type: ignore[assignment]


class Walk:
    """A walk that comes to its end.

    Args:
        own: Airflow's, a function of the folder, the ignore file's name and the class of its rules.
    """

    def __init__(self, own: Any) -> None:
        self.own = own
        self._paused: dict[Path, float] = {}

    def __call__(
        self, base_dir_path: str | os.PathLike[str], ignore_file_name: str, ignore_rule_type: Any
    ) -> Iterator[str]:
        """Yield the files that no ignore file leaves out."""
        base = Path(base_dir_path)
        yield from filter(_can_be_examined, self._found(base, ignore_file_name, ignore_rule_type))

    def _found(self, base: Path, ignore_file: str, rule_type: Any) -> list[str]:
        if not self._is_paused(base):
            try:
                with _cpu_limit():
                    return list(self.own(base, ignore_file, rule_type))
            except Exception as error:
                self._pause(base, error)
                _tell(f"{base} is walked folder by folder, since Airflow's own walk ended: {_said(error)}")
        return self._by_folder(base, ignore_file, rule_type)

    def _by_folder(self, base: Path, ignore_file: str, rule_type: Any) -> list[str]:
        try:
            rules = _rules(base, base, ignore_file, rule_type)
        except Exception as error:
            _tell(f"{base / ignore_file} is not used: {_said(error)}")
            rules = []  # it is nobody's, so nobody's folder goes for it
        found: list[str] = []
        for entry in sorted(os.scandir(base), key=lambda entry: entry.name):
            path = base / entry.name
            if self._is_paused(path):
                continue
            try:
                with _cpu_limit():
                    found += list(_walk(path, base, rules, ignore_file, rule_type))
            except Exception as error:
                self._pause(path, error)
                _tell(f"{path} is left out: {_said(error)}")
        return found

    def _is_paused(self, path: Path) -> bool:
        return self._paused.get(path, 0.0) > time.monotonic()

    def _pause(self, path: Path, error: Exception) -> None:
        if isinstance(error, TookTooLong):
            self._paused[path] = time.monotonic() + PAUSE


class TookTooLong(Exception):
    """Of a walk."""


def _walk(top: Path, base: Path, above: list[Any], ignore_file: str, rule_type: Any) -> Iterator[str]:
    """The files at or below `top`, as Airflow's walk would come to them. `above`: the rules of `base`."""
    if rule_type.match(top, above):
        return
    if not top.is_dir():
        if top.name != ignore_file:
            yield str(top)
        return
    folders_seen = _Seen(base.resolve(), top.name)
    if not folders_seen.add(top):
        return
    rules_of = {top: above}
    for root, folders, files in os.walk(top, followlinks=True):
        here = Path(root)
        try:
            rules = rules_of[here] + _rules(here, base, ignore_file, rule_type)
        except TookTooLong:
            raise
        except Exception as error:
            _tell(f"{here} is left out, since its {ignore_file} cannot be used: {_said(error)}")
            folders.clear()
            continue
        wanted = (here / folder for folder in sorted(folders) if not rule_type.match(here / folder, rules))
        below = [folder for folder in wanted if folders_seen.add(folder)]
        folders[:] = [folder.name for folder in below]
        rules_of |= dict.fromkeys(below, rules)
        yield from (str(here / f) for f in files if f != ignore_file and not rule_type.match(here / f, rules))


@dataclass
class _Seen:
    """Which folders one of the DAGs folder's own, `top`, was walked to. What lies in another one of them is that one's."""

    base: Path
    top: str
    real: set[Path] = field(default_factory=set)

    def add(self, folder: Path) -> bool:
        """Whether the folder may be walked, which it may be once."""
        real = folder.resolve()
        inside = real.relative_to(self.base).parts if real.is_relative_to(self.base) else (self.top,)
        if real in self.real or inside[:1] != (self.top,):
            _tell(f"{folder} is not followed: {real} is come to in another way too; link single files, or copy them")
            return False
        self.real.add(real)
        return True


def _rules(folder: Path, base: Path, ignore_file: str, rule_type: Any) -> list[Any]:
    """The rules of a folder's own ignore file, as Airflow makes them. Raises whatever reading and compiling raise."""
    file = folder / ignore_file
    if not file.is_file():
        return []
    with file.open() as stream:
        lines = [re.sub(r"\s*#.*", "", line) for line in stream.read().split("\n")]
    made = (rule_type.compile(line, base, file) for line in lines if line)
    return [rule for rule in made if rule is not None]


def _can_be_examined(file: str) -> bool:
    """Whether Airflow can look into the file, and write its name down, without ending."""
    try:
        size = Path(file).stat().st_size
    except OSError:
        return True  # a link that leads nowhere, or gone by now: Airflow passes over it
    try:
        file.encode()
        if size > MAX_BYTES and file.endswith(".py"):
            raise ValueError(f"has more than {MAX_BYTES} bytes")
        if not file.endswith(".py") and zipfile.is_zipfile(file):
            _check_archive(file)
    except zipfile.BadZipFile:
        pass  # the one fault of an archive that Airflow expects
    except Exception as error:
        _tell(f"{file!a} is left out: {_said(error)}")
        return False
    return True


def _check_archive(file: str) -> None:
    with zipfile.ZipFile(file) as archive:
        if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
            raise ValueError(f"has more than {MAX_BYTES} bytes when it is unpacked")
        for member in archive.infolist():
            archive.read(member.filename)


@contextmanager
def _cpu_limit() -> Iterator[None]:
    """Raise TookTooLong after `CPU_SECONDS` of this process; `re` looks at signals while it matches. Main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise TookTooLong(f"it took more than {CPU_SECONDS:g} s; a pattern of an ignore file with many `*` does that")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


@lru_cache(maxsize=1000)
def _tell(message: str) -> None:
    log.error(message)
