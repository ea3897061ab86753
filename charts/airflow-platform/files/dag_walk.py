"""The walk over the DAGs folder, so that what one package holds does not end it for all.

Airflow's own is outside of any `try` (`_find_files_in_bundle` in airflow/dag_processing/manager.py). It ends the
dag-processor at a folder that it comes to twice through links (kubernetes/git-sync#913), at an ignore file that is no text
or no pattern, at many archives, at a file whose name or time something after it cannot take; a pattern with many stars
keeps it busy for hours. dag-sync refuses such a version; what git-sync, an image or a volume brings, nobody refuses.

This one finds the same files, of those that Airflow can parse: `.py`, no archives. What would end Airflow it leaves out: a
second way to a folder, a folder whose ignore file cannot be used, since what it hid was never meant to be run, and a
package whose patterns take too long. Each is told in the log, once.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from dag_protocol import MAX_PATH_BYTES, check_log_names

FOLDER_SECONDS = 3.0  # of this process for one package: 30,000 names and 100 patterns take one
WALK_SECONDS = 15.0  # for all of them; then what was found before holds. A dag-processor may stand still for a minute
PAUSE = 300.0  # seconds for which a package that took too long is not tried again
MAX_IGNORE_BYTES = 1024 * 1024  # of one ignore file: Airflow holds it in memory several times
MAX_TOLD = 1000

log = logging.getLogger(__name__)


def install() -> None:
    """Put the walk below in the place of Airflow's, in this process.

    Every caller goes through `find_path_from_directory`, which looks this name up when it is called.
    """
    from airflow._shared.module_loading import file_discovery

    if hasattr(file_discovery, "_find_path_from_directory"):
        file_discovery._find_path_from_directory = Walk()  # type: ignore[assignment]
    else:
        log.error(
            "this Airflow walks the DAGs folder in another way: a package's links or ignore file can end it for all"
        )


class TookTooLong(Exception):
    """Of a walk."""


class Walk:
    """A walk that comes to its end, package by package."""

    def __init__(self) -> None:
        self._paused: dict[Path, float] = {}
        self._last: dict[Path, list[str]] = {}

    def __call__(
        self, base_dir_path: str | os.PathLike[str], ignore_file_name: str, ignore_rule_type: Any
    ) -> Iterator[str]:
        """Yield the files that Airflow can parse and no ignore file leaves out.

        Args:
            base_dir_path: the DAGs folder.
            ignore_file_name: `.airflowignore`.
            ignore_rule_type: Airflow's class of rules.
        """
        base = Path(base_dir_path)
        rules = Rules(base, ignore_file_name, ignore_rule_type)
        above = self._of_the_root(rules)
        until = time.process_time() + WALK_SECONDS
        for path in _entries(base):
            if time.process_time() > until:
                _tell(f"the walk over {base} took more than {WALK_SECONDS:g} s; of {path} holds what was found before")
                yield from self._last.get(path, [])
            elif not self._is_paused(path):
                self._last[path] = self._below(path, rules, above)
                yield from self._last[path]

    def _of_the_root(self, rules: Rules) -> list[Any]:
        """The rules of the root's own ignore file. It is nobody's, so nobody's folder goes for one that cannot be used."""
        if self._is_paused(rules.base):
            return []
        try:
            return rules.of(rules.base)
        except Exception as error:
            _tell(f"{rules.base / rules.ignore_file} is not used: {_said(error)}")
            return []

    def _below(self, path: Path, rules: Rules, above: list[Any]) -> list[str]:
        try:
            try:
                return _walk(path, rules, above)
            except TookTooLong:
                if not above:
                    raise
                found = _walk(path, rules, [])
                above.clear()
                self._paused[rules.base] = time.monotonic() + PAUSE
                _tell(f"{rules.base / rules.ignore_file} is not used: its patterns take too long")
                return found
        except TookTooLong as error:
            self._paused[path] = time.monotonic() + PAUSE
            _tell(f"{path} is left out: {_said(error)}")
        except Exception as error:
            _tell(f"{path} is left out: {_said(error)}")
        return []

    def _is_paused(self, path: Path) -> bool:
        return self._paused.get(path, 0.0) > time.monotonic()


@dataclass
class Rules:
    """What ignore files say, as Airflow reads them."""

    base: Path
    ignore_file: str
    type: Any

    def of(self, folder: Path) -> list[Any]:
        """The rules of a folder's own ignore file. Raises whatever reading and compiling raise."""
        file = folder / self.ignore_file
        try:
            if not file.is_file():
                return []
            if file.stat().st_size > MAX_IGNORE_BYTES:
                raise ValueError(f"it has more than {MAX_IGNORE_BYTES:,} bytes")
            text = file.read_text()
        except FileNotFoundError:  # gone meanwhile
            return []
        lines = (re.sub(r"\s*#.*", "", line) for line in text.split("\n"))
        made = (self.type.compile(line, self.base, file) for line in lines if line)
        return [rule for rule in made if rule is not None]


def _walk(top: Path, rules: Rules, above: list[Any]) -> list[str]:
    """The files at or below `top`, an entry of the DAGs folder whose own rules are `above`."""
    with _cpu_limit(FOLDER_SECONDS):
        if rules.type.match(top, above):
            return []
        if top.is_dir():
            return [file for file in _Package(top, rules, above).files() if _can_be_parsed(file, rules.base)]
        return [str(top)] if _can_be_parsed(top, rules.base) else []


@dataclass
class _Package:
    """One folder of the DAGs folder. What lies in another one of them is that one's, by whatever link it is come to."""

    top: Path
    rules: Rules
    above: list[Any]
    seen: set[Path] = field(default_factory=set)

    def files(self) -> Iterator[str]:
        """All that no ignore file leaves out."""
        base = self.rules.base.resolve()
        todo, links = [(self.top, self.above)], list[tuple[Path, list[Any]]]()
        while todo or links:
            # Links that lead into the DAGs folder come last: of two ways to a folder its own path is taken.
            folder, above = todo.pop() if todo else links.pop(0)
            real = folder.resolve()
            if self._is_another_s(real, base) or real in self.seen:
                _tell(
                    f"{folder} is not followed: {real} is come to in another way too; link single files, or copy them"
                )
                continue
            self.seen.add(real)
            for entry, rules in self._entries(folder, above):
                if not entry.is_dir():
                    yield str(entry)
                elif entry.is_symlink() and entry.resolve().is_relative_to(base):
                    links.append((entry, rules))
                else:
                    todo.append((entry, rules))

    def _entries(self, folder: Path, above: list[Any]) -> Iterator[tuple[Path, list[Any]]]:
        """What is in a folder and wanted, and the rules for what is below it."""
        try:
            rules = above + self.rules.of(folder)
        except TookTooLong:
            raise
        except Exception as error:
            _tell(f"{folder} is left out, since its {self.rules.ignore_file} cannot be used: {_said(error)}")
            return
        for entry in _entries(folder):
            is_rules = entry.name == self.rules.ignore_file and not entry.is_dir()
            if not is_rules and not self.rules.type.match(entry, rules):
                yield entry, rules

    def _is_another_s(self, real: Path, base: Path) -> bool:
        """Whether a folder is the DAGs folder, one above it, or in one of its other folders that is walked itself."""
        if base.is_relative_to(real):
            return True
        if not real.is_relative_to(base):
            return False
        other = self.rules.base / real.relative_to(base).parts[0]
        return other != self.top and not self.rules.type.match(other, self.above)


def _entries(folder: Path) -> list[Path]:
    """In the order of names, so that two walks find the same. None where the folder cannot be read, as with Airflow's."""
    try:
        return [folder / name for name in sorted(os.listdir(folder))]  # noqa: PTH208
    except OSError:
        return []


def _can_be_parsed(file: str | Path, base: Path) -> bool:
    """Whether Airflow parses it, and can write down its name and its time."""
    path = Path(file)
    if path.suffix != ".py":
        return False
    try:
        modified = path.stat().st_mtime
    except OSError:
        return True  # a link that leads nowhere, or gone by now: Airflow passes over it
    try:
        name = str(path.relative_to(base))
        if len(name.encode()) > MAX_PATH_BYTES:
            raise ValueError(f"its path has more than {MAX_PATH_BYTES} bytes")
        check_log_names(name)
        datetime.fromtimestamp(modified, UTC)
    except Exception as error:
        _tell(f"{str(path)!a} is left out: {_said(error)}")
        return False
    return True


@contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """Raise TookTooLong after so much time of this process; `re` looks at signals while it matches. Main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise TookTooLong(f"its ignore patterns and names take more than {seconds:g} s, as patterns with many `*` do")

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


_told: set[str] = set()


def _tell(message: str) -> None:
    if message in _told or len(_told) > MAX_TOLD:
        return
    _told.add(message)
    log.error(message if len(_told) <= MAX_TOLD else "more is left out than is told here")
