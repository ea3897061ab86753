"""Files as such: which belong to a package, which Airflow will parse, and names, sizes and contents that delivery or Airflow cannot take."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePath, PurePosixPath

import pathspec

import dag_protocol as protocol

from .report import Code, Finding


def collect(dag_files: Iterable[Path] = (), dags_dir: Path | None = None) -> dict[str, Path]:
    """Return the files of a package by their path relative to its DAGs folder.

    Args:
        dag_files: single files; each by its path below the nearest folder named `dags`, else by its own name.
        dags_dir: a folder; everything below it but caches of Python's and hidden files (`.airflowignore` is kept).

    Raises:
        FileNotFoundError: `dags_dir` is not a folder.
        ValueError: two different files would have the same path.
    """
    found: dict[str, Path] = {}
    if dags_dir is not None:
        if not dags_dir.is_dir():
            raise FileNotFoundError(f"{dags_dir} is not a folder")
        for file in sorted(dags_dir.rglob("*")):
            relative = file.relative_to(dags_dir)
            if not file.is_dir() and is_wanted(relative):
                found[relative.as_posix()] = file
    for file in dag_files:
        path = relative_path(file)
        other = found.setdefault(path, file)
        if other.resolve() != file.resolve():
            raise ValueError(f"{other} and {file} would both be published as {path}; rename one")
    return found


def dags_folder(file: Path) -> Path | None:
    """Return the nearest folder above `file` that is named `dags`: that is where a package's files lie."""
    return next((folder for folder in file.absolute().parents if folder.name == "dags"), None)


def relative_path(file: Path) -> str:
    """Return the path that a single file is published by."""
    folder = dags_folder(file)
    return file.absolute().relative_to(folder).as_posix() if folder else file.name


def is_wanted(relative: PurePath) -> bool:
    """Whether a file below a DAGs folder is part of a package: no hidden one, and no cache of Python's."""
    hidden = any(part.startswith(".") for part in relative.parts if part != protocol.IGNORE_FILE)
    return not hidden and "__pycache__" not in relative.parts and relative.suffix != ".pyc"


def read_files(package: str, files: Mapping[str, Path]) -> tuple[dict[str, bytes], list[Finding]]:
    """Read the files that delivery can take; say of the others why it cannot."""
    findings = list(check_names(files))
    contents: dict[str, bytes] = {}
    for path in sorted(files.keys() - {f.path for f in findings if f.code == Code.UNSAFE_NAME}):
        try:
            contents[path] = read_file(path, files[path])
        except OSError as error:
            findings.append(Finding(path, 1, Code.UNREADABLE, f"cannot be read: {error.strerror or error}"))
        except Refused as refused:
            findings.append(refused.finding)
    try:
        protocol.check_sizes({path: len(data) for path, data in contents.items()})
    except protocol.ProtocolError as error:
        findings.append(Finding(package, 1, Code.PACKAGE_SIZE, f"{error}; publish what the DAGs need and no more"))
    return contents, findings


class Refused(Exception):
    """A file breaks a rule, which is `finding`."""

    def __init__(self, finding: Finding) -> None:
        self.finding = finding


def read_file(path: str, file: Path) -> bytes:
    """Return what a file holds. Raises OSError, Refused."""
    limit = protocol.max_bytes(path)
    if file.exists() and not file.is_file():  # opening a pipe would wait for ever
        raise OSError("it is not a file")
    with file.open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise Refused(too_big(path))
    is_ignore_file = protocol.is_ignore_file(path)
    try:
        protocol.check_content(path, data)
    except protocol.ProtocolError as error:
        raise Refused(from_protocol(path, Code.IGNORE_FILE if is_ignore_file else Code.ZIP_ARCHIVE, error)) from None
    if is_ignore_file and data.startswith(codecs.BOM_UTF8):
        raise Refused(Finding(path, 1, Code.IGNORE_FILE, _MARK))
    return data


_MARK = "begins with a byte order mark, so that its first pattern ignores nothing; save it as UTF-8 without one"


def too_big(path: str) -> Finding:
    """What is said of a file over its limit."""
    limit = protocol.max_bytes(path)
    message = f"has more than the {limit:,} bytes that it may have; put data into S3 or the image, not beside DAGs"
    return Finding(path, 1, Code.FILE_SIZE, message)


def from_protocol(path: str, code: Code, error: protocol.ProtocolError) -> Finding:
    """The protocol's sentences begin with `path:` or `path:line:`; a finding has them as fields."""
    line, message = re.match(r"(?::(\d+))?:? ?(.*)", str(error).removeprefix(path), re.DOTALL).groups()  # type: ignore[union-attr]
    return Finding(path, int(line or 1), code, message)


def check_names(paths: Iterable[str]) -> Iterator[Finding]:
    """Yield names that delivery cannot take, and those that not every file system can hold together."""
    good: list[str] = []
    for path in sorted(paths):
        try:
            protocol.check_path(path)
            good.append(path)
        except protocol.ProtocolError as error:
            yield Finding(path, 1, Code.UNSAFE_NAME, f"{error}; rename it")
    try:
        protocol.check_paths(good)
    except protocol.ProtocolError as error:
        yield from _each_clash(good) if len(good) <= protocol.MAX_FILES else [_clash(good[0], error)]


def _each_clash(paths: list[str]) -> Iterator[Finding]:
    """The protocol stops at the first clash; an author wants all of them. The time is quadratic in their number."""
    kept: list[str] = []
    for path in paths:
        try:
            protocol.check_paths([*kept, path])
            kept.append(path)
        except protocol.ProtocolError as error:
            yield _clash(path, error)


def _clash(path: str, error: protocol.ProtocolError) -> Finding:
    return Finding(path, 1, Code.NAME_CLASH, f"{error}; rename one, not every file system can hold both")


def dag_candidates(contents: Mapping[str, bytes]) -> set[str]:
    """Return the files that Airflow will parse: not ignored, and with the words that its safe mode looks for."""
    ignored = _ignored(contents)
    return {
        path
        for path, data in contents.items()
        if path.lower().endswith(".py") and not ignored(path) and mentions_dags(data)
    }


def mentions_dags(data: bytes) -> bool:
    """Whether Airflow's safe mode would parse the file (`might_contain_dag_via_default_heuristic`)."""
    lowered = data.lower()
    return b"airflow" in lowered and (b"dag" in lowered or b"asset" in lowered)


def _ignored(contents: Mapping[str, bytes]) -> Callable[[str], bool]:
    """Return what says of a path whether one of the package's ignore files leaves it out."""
    specs = {
        PurePosixPath(path).parent: pathspec.GitIgnoreSpec.from_lines(protocol.ignore_patterns(data))
        for path, data in contents.items()
        if PurePosixPath(path).name == protocol.IGNORE_FILE
    }

    def ignored(path: str) -> bool:
        own = PurePosixPath(path)
        return any(
            specs[folder].match_file(own.relative_to(folder).as_posix()) for folder in own.parents if folder in specs
        )

    return ignored
