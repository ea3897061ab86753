"""The rules of DAG delivery: names, documents, limits, and what an object in the bucket means.

Publisher, adopter and dag-sync import this one file; it does no input or output. The bucket holds, for an
environment E and a package P:

    E/P/dags/<path>                 the files; metadata `dag-publish` names the version that wrote an object
    manifests/E/P/<version>.json    what a version is; created once, never changed
    pointers/E/P.json               which version is live: the only truth of delivery
    pointers/E/_environment.json    the marker, written by Terraform; a listing without it is a failed poll
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, BinaryIO, Literal, NamedTuple, get_args

import pathspec

SCHEMA = 1
TAG = "dag-publish"  # object metadata, so `x-amz-meta-dag-publish`: a copy by hand keeps it, ours replaces it
PLACE = "dag-publish-place"  # metadata that says for which object the tag was made: a copy to elsewhere keeps it too
EXPIRED = (
    "dag-retention",
    "expired",
)  # object tag, key and value: the bucket's rule deletes by it, dag_retention.py sets it

MAX_PYTHON_BYTES = 512 * 1024  # a legal 4 MB list literal costs 1.4 GB to compile
MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_PACKAGE_BYTES = 64 * 1024 * 1024
MAX_IGNORE_BYTES = 16 * 1024  # all ignore files of a package: Airflow tries each pattern on each name, again and again
MAX_PATTERN = 1_000  # characters of a line in one: Airflow's own reading of it takes quadratic time
MAX_STARS = 4  # `*` in one: each multiplies the time that a long name takes
SMALLEST_ARCHIVE = 22  # bytes of a zip archive of nothing
MAX_FILES = 2_000
MAX_POINTER_BYTES = 64 * 1024
MAX_MANIFEST_BYTES = 2 * 1024 * 1024
MAX_LIVE_VERSIONS = 1_000  # newest first in the pointer; older ones by following `previous`
MAX_PAST_POINTERS = 20  # how far back in a pointer's own object to look for one that can be read
MAX_FALLBACKS = 5  # how far back dag-sync looks for a version that it can accept
MAX_PATH_BYTES = 512
MAX_NAME_BYTES = 200
MAX_LOGGED_NAME = 250  # of 255, less `.log`
MAX_VERSION_ID = 1024  # S3's own limit

MARKER = "_environment"
IGNORE_FILE = ".airflowignore"
# Of a folder with links to packages. Order matters: everything, but folders to walk, but Python, never hidden (facts: each
# other order lost DAGs or ended the dag-processor).
LINKS_IGNORE = b"*\n!*/\n!*.py\n.*/\n"

MIN_NAME, MAX_NAME = 2, 40  # characters of a package's or an environment's name
PACKAGE_PATTERN = "[a-z][a-z0-9]*(_[a-z0-9]+)*"
ENVIRONMENT_PATTERN = "[a-z][a-z0-9]*(-[a-z0-9]+)*"
RESERVED_ENVIRONMENTS = ("logs", "manifests", "pointers")  # top-level prefixes of the bucket
VERSION_PATTERN = "[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}"
SHA256_PATTERN = "[0-9a-f]{64}"


class ProtocolError(ValueError):
    """Something in the bucket, or about to go there, breaks a rule; the text says what and where."""


class Newer(ProtocolError):
    """A document of a newer schema: no damage, and nothing to build on. A program that writes must end."""


# --- names and keys -------------------------------------------------------------------------------------------


def check_package(name: str) -> str:
    """Return `name`, or raise ProtocolError: 2 to 40 characters, lower-case words joined by `_`."""
    if not (isinstance(name, str) and MIN_NAME <= len(name) <= MAX_NAME and re.fullmatch(PACKAGE_PATTERN, name)):
        raise ProtocolError(
            f"package name {name!r} is not usable: 2 to 40 characters, lower-case words and digits joined by '_', like 'sales_eu'"
        )
    return name


def package_clash(name: str, others: Iterable[str]) -> str | None:
    """Return the first of `others` whose DAG ids could be taken for `name`'s (one is the other's plus `_…`)."""
    return next(
        (o for o in sorted(others) if o != name and (o.startswith(f"{name}_") or name.startswith(f"{o}_"))), None
    )


def check_environment(name: str) -> str:
    """Return `name`, or raise ProtocolError. `logs`, `manifests` and `pointers` are taken: they are top-level prefixes."""
    if not (
        isinstance(name, str)
        and MIN_NAME <= len(name) <= MAX_NAME
        and re.fullmatch(ENVIRONMENT_PATTERN, name)
        and name not in RESERVED_ENVIRONMENTS
    ):
        raise ProtocolError(
            f"environment name {name!r} is not usable: lower-case words and digits joined by '-', like 'dev'"
        )
    return name


def check_version(version: str) -> str:
    """Return `version`, or raise ProtocolError unless it is `YYYYMMDDTHHMMSSZ-` and 8 hex digits."""
    if not (isinstance(version, str) and re.fullmatch(VERSION_PATTERN, version)):
        raise ProtocolError(f"version {str(version)[:80]!r} is not one: they look like 20260131T120000Z-1a2b3c4d")
    return version


def new_version(now: datetime | None = None) -> str:
    """Name a new version. The time is for people: order is by `previous`, never by name."""
    return f"{(now or datetime.now(UTC)):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def files_prefix(environment: str, package: str) -> str:
    """Prefix of a package's files."""
    return f"{check_environment(environment)}/{check_package(package)}/dags/"


def manifests_prefix(environment: str, package: str) -> str:
    """Prefix of a package's manifests."""
    return f"manifests/{check_environment(environment)}/{check_package(package)}/"


def manifest_key(environment: str, package: str, version: str) -> str:
    """Key of one manifest."""
    return f"{manifests_prefix(environment, package)}{check_version(version)}.json"


def pointers_prefix(environment: str) -> str:
    """Prefix of all pointers: listing it is a whole poll."""
    return f"pointers/{check_environment(environment)}/"


def pointer_key(environment: str, package: str) -> str:
    """Key of a package's pointer."""
    return f"{pointers_prefix(environment)}{check_package(package)}.json"


def marker_key(environment: str) -> str:
    """Key of the environment's marker."""
    return f"{pointers_prefix(environment)}{MARKER}.json"


# --- paths and content ----------------------------------------------------------------------------------------


def check_path(path: str) -> str:
    """Return `path` (relative to `dags/`), or raise ProtocolError if it could leave the folder or upset a file system.

    Hidden names are refused but for `.airflowignore`: Airflow does not skip hidden folders, dag-sync's ignore file does.
    """
    if not isinstance(path, str) or not path:
        raise ProtocolError("a file has no name")
    shown = repr(path[:120])
    if len(path.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        raise ProtocolError(f"file name {shown}… is longer than {MAX_PATH_BYTES} bytes")
    if not path.isprintable() or "\\" in path:
        raise ProtocolError(f"file name {shown} has control characters or a backslash")
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise ProtocolError(f"file name {shown} is not a plain relative path")
        if len(part.encode()) > MAX_NAME_BYTES:
            raise ProtocolError(f"file name {shown} has a part longer than {MAX_NAME_BYTES} bytes")
        if part != part.strip() or part == "__pycache__":
            raise ProtocolError(f"file name {shown} begins or ends with a space, or is a cache of Python's")
    check_log_names(path)
    hidden = [part for part in path.split("/") if part.startswith(".")]
    if hidden and hidden != [IGNORE_FILE]:
        raise ProtocolError(f"file name {shown} is hidden; only {IGNORE_FILE} may begin with a dot")
    if hidden and not path.endswith(IGNORE_FILE):
        raise ProtocolError(f"file name {shown} uses {IGNORE_FILE} as a folder")
    return path


def check_log_names(path: str) -> None:
    """Raise ProtocolError if Airflow's dag-processor could not make its log of the file, `<path>.log`, and would end."""
    *folders, name = path.split("/")
    if any(folder.endswith(".py.log") for folder in folders):
        raise ProtocolError(
            f"file name {path[:120]!r} has a folder that is called as Airflow calls the log of a `.py` file"
        )
    if len(name.encode()) > MAX_LOGGED_NAME:
        raise ProtocolError(f"file name {path[:120]!r} has a name longer than {MAX_LOGGED_NAME} bytes")


def check_paths(paths: Iterable[str]) -> None:
    """Raise ProtocolError for a bad path, a name that is both file and folder, or names that differ by case alone."""
    seen: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        check_path(path)
        folded = path.casefold()
        if folded in seen:
            raise ProtocolError(f"files {seen[folded]!r} and {path!r} are the same name, or differ by case alone")
        seen[folded] = path
        parts = folded.split("/")
        spelled = path.split("/")
        for depth in range(1, len(parts)):
            folder, spelling = "/".join(parts[:depth]), "/".join(spelled[:depth])
            if folders.setdefault(folder, spelling) != spelling:
                raise ProtocolError(f"folders {folders[folder]!r} and {spelling!r} differ by case alone")
    for folder, spelling in folders.items():
        if folder in seen:
            raise ProtocolError(f"{spelling!r} is both a file and a folder")


def is_ignore_file(path: str) -> bool:
    """Whether Airflow reads it for patterns."""
    return path.rsplit("/", 1)[-1] == IGNORE_FILE


def max_bytes(path: str) -> int:
    """Largest size in bytes that a file of this name may have."""
    if is_ignore_file(path):
        return MAX_IGNORE_BYTES
    return MAX_PYTHON_BYTES if path.endswith(".py") else MAX_FILE_BYTES


def check_sizes(sizes: Mapping[str, int]) -> None:
    """Raise ProtocolError if a file, the number of files or their sum is over its limit."""
    if len(sizes) > MAX_FILES:
        raise ProtocolError(f"{len(sizes):,} files are more than the {MAX_FILES:,} that a package may have")
    for path, size in sizes.items():
        if size > max_bytes(path):
            raise ProtocolError(
                f"{path}: {size:,} bytes are more than the {max_bytes(path):,} that such a file may have"
            )
    patterns = sum(size for path, size in sizes.items() if is_ignore_file(path))
    if patterns > MAX_IGNORE_BYTES:
        raise ProtocolError(f"the {IGNORE_FILE} files have {patterns:,} bytes in all, more than {MAX_IGNORE_BYTES:,}")
    total = sum(sizes.values())
    if total > MAX_PACKAGE_BYTES:
        raise ProtocolError(f"{total:,} bytes in all are more than the {MAX_PACKAGE_BYTES:,} that a package may have")


def check_content(path: str, data: bytes) -> None:
    """Raise ProtocolError for content that ends Airflow's only dag-processor, whatever the file's name.

    Both are outside of every `try` there: an archive that `zipfile` accepts, and an ignore file that does not compile.
    """
    if is_ignore_file(path):
        check_ignore_file(path, data)
    else:
        check_zip(path, BytesIO(data))


def check_zip(path: str, content: BinaryIO | os.PathLike[str]) -> None:
    """Raise ProtocolError if `content` is what `zipfile` takes for an archive: Airflow looks into each, by any name."""
    try:
        archive = zipfile.is_zipfile(content)
    except Exception:  # an end that says it is of several disks, for instance: what Airflow would end at as well
        archive = True
    if archive:
        raise ProtocolError(
            f"{path}: is a zip archive, which can end Airflow's dag-processor; unpack it, or put it into the image"
        )


def check_ignore_file(path: str, data: bytes) -> None:
    """Raise ProtocolError unless Airflow can read this `.airflowignore` (glob syntax) without ending, and soon."""
    if len(data) > MAX_IGNORE_BYTES:
        raise ProtocolError(f"{path}: {len(data):,} bytes are more than the {MAX_IGNORE_BYTES:,} that it may have")
    try:
        lines = ignore_lines(data)
    except UnicodeDecodeError as error:
        raise ProtocolError(f"{path}: is not UTF-8 at byte {error.start}, which ends Airflow's dag-processor") from None
    for number, line in enumerate(lines, 1):
        pattern = _without_comment(line)
        if len(line) > MAX_PATTERN:
            raise ProtocolError(
                f"{path}:{number}: the line is longer than {MAX_PATTERN} characters, which slows Airflow down"
            )
        if pattern.replace("**", "*").count("*") > MAX_STARS:
            raise ProtocolError(
                f"{path}:{number}: a pattern has more than {MAX_STARS} times '*', which slows Airflow down"
            )
        if pattern.strip().startswith("!"):
            raise ProtocolError(f"{path}:{number}: a pattern with '!' could bring hidden folders back; leave it out")
        try:
            pathspec.GitIgnoreSpec.from_lines([pattern])
        except Exception as error:  # pathspec raises its own, re.error and IndexError, by version
            raise ProtocolError(
                f"{path}:{number}: pattern {pattern!r} does not compile ({error}), which ends Airflow's dag-processor; mend it"
            ) from None


def ignore_patterns(data: bytes) -> list[str]:
    """The patterns of an ignore file as Airflow reads it: lines end as in a text file, comments go first.

    So a lone \\r ends a line too, U+2028 does not, and a comment may leave a backslash at the end of one. Raises UnicodeDecodeError.
    """
    return [_without_comment(line) for line in ignore_lines(data)]


def ignore_lines(data: bytes) -> list[str]:
    """The lines of an ignore file, comments and all. Raises UnicodeDecodeError."""
    return re.split("\r\n|\r|\n", data.decode("utf-8"))


def _without_comment(line: str) -> str:
    r"""What Airflow's `re.sub(r"\s*#.*", "", line)` leaves, in linear time: that one is quadratic in a row of blanks."""
    pattern, comment, _ = line.partition("#")
    return pattern.rstrip() if comment else pattern


def sha256(data: bytes) -> str:
    """SHA-256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def content_digest(files: Iterable[File]) -> str:
    """Digest of what a reader sees of a version, and of nothing else: two publishes of the same contents have one.

    SHA-256 of path, SHA-256, size and executable of each file, by path, as compact JSON: what Airflow plans to make a bundle's
    version of.
    """
    rows = [[f.path, f.sha256, f.size, f.executable] for f in sorted(files, key=lambda file: file.path)]
    return sha256(json.dumps(rows, separators=(",", ":")).encode())


# --- documents ------------------------------------------------------------------------------------------------

Kind = Literal["publish", "adopt", "rollback", "restore", "repair"]


class Content(NamedTuple):
    """What a reader sees of a file: its bytes, and whether it can be run."""

    sha256: str
    executable: bool


@dataclass(frozen=True)
class File:
    """One file of a version, pinned: these bytes and no others."""

    path: str
    version_id: str
    etag: str
    size: int
    sha256: str
    executable: bool = False

    @property
    def content(self) -> Content:
        """What a reader sees of it."""
        return Content(self.sha256, self.executable)


@dataclass(frozen=True)
class VersionRef:
    """A version by name and by the digest of its manifest."""

    version: str
    manifest_sha256: str


@dataclass(frozen=True)
class Manifest:
    """What one version of a package is. Created once, never changed."""

    environment: str
    package: str
    version: str
    files: tuple[File, ...]
    kind: Kind = "publish"
    previous: VersionRef | None = None
    of: str | None = None  # the version whose contents a rollback, restore or repair brings back
    created: str = ""  # ISO 8601, UTC: for people and for the latency metric, never for order
    publisher: str = ""
    source: str = ""  # the commit it was made from

    @property
    def by_path(self) -> dict[str, File]:
        """The files by their path."""
        return {f.path: f for f in self.files}

    def encode(self) -> bytes:
        """The document as stored."""
        # Said only where it is so: a package without such files has the documents that it always had.
        files = [{k: v for k, v in asdict(file).items() if v or k != "executable"} for file in self.files]
        return _encode({"schema": SCHEMA, **asdict(self), "files": files, "digest": self.digest})

    @property
    def digest(self) -> str:
        """Of its contents."""
        return content_digest(self.files)


@dataclass(frozen=True)
class Pointer:
    """Which version of a package is live."""

    environment: str
    package: str
    version: str
    manifest_sha256: str
    previous: tuple[VersionRef, ...] = ()  # newest first, at most MAX_FALLBACKS
    live_versions: tuple[str, ...] = ()  # every version that was ever live, newest first, at most MAX_LIVE_VERSIONS
    removed: bool = False
    updated: str = ""
    nonce: str = ""  # two equal pointers must not have one ETag

    @property
    def ref(self) -> VersionRef:
        """The live version, pinned."""
        return VersionRef(self.version, self.manifest_sha256)

    @property
    def candidates(self) -> tuple[VersionRef, ...]:
        """What may be served, in the order of preference."""
        return (self.ref, *self.previous)

    def encode(self) -> bytes:
        """The document as stored."""
        return _encode({"schema": SCHEMA, **asdict(self)})


def _encode(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def new_nonce() -> str:
    """Make two pointers differ that say the same."""
    return secrets.token_hex(8)


def next_pointer(before: Pointer | None, manifest: Manifest, updated: str, nonce: str) -> Pointer:
    """The pointer that makes `manifest` live after `before` (None: the package's first)."""
    live = before.live_versions if before else ()
    return Pointer(
        environment=manifest.environment,
        package=manifest.package,
        version=manifest.version,
        manifest_sha256=sha256(manifest.encode()),
        previous=before.candidates[:MAX_FALLBACKS] if before else (),
        live_versions=(manifest.version, *live)[:MAX_LIVE_VERSIONS],
        updated=updated,
        nonce=nonce,
    )


def decode_pointer(data: bytes, environment: str, package: str) -> Pointer:
    """Read a pointer, trusting nothing in it. Raises ProtocolError that names the fault."""
    document = _decode(data, MAX_POINTER_BYTES, "pointer", environment, package)
    pointer = Pointer(
        environment=environment,
        package=package,
        version=check_version(_get(document, "version", str)),
        manifest_sha256=_digest(document, "manifest_sha256"),
        previous=tuple(_version_ref(r) for r in _get(document, "previous", list)[:MAX_FALLBACKS]),
        live_versions=tuple(check_version(v) for v in _get(document, "live_versions", list)[:MAX_LIVE_VERSIONS]),
        removed=_get(document, "removed", bool),
        updated=_get(document, "updated", str),
        nonce=_get(document, "nonce", str),
    )
    if pointer.version not in pointer.live_versions:
        raise ProtocolError(f"the pointer does not list its own version {pointer.version} as one that was live")
    return pointer


def decode_manifest(data: bytes, environment: str, package: str, ref: VersionRef) -> Manifest:
    """Read the manifest that a pointer pins, trusting nothing in it. Raises ProtocolError that names the fault."""
    if sha256(data) != ref.manifest_sha256:
        raise ProtocolError(f"the manifest of {ref.version} is not the one that the pointer pins (SHA-256 differs)")
    document = _decode(data, MAX_MANIFEST_BYTES, "manifest", environment, package)
    if document.get("version") != ref.version:
        raise ProtocolError(
            f"the manifest says it is of version {str(document.get('version'))[:40]!r}, not {ref.version}"
        )
    previous = document.get("previous")
    files = tuple(_file(f) for f in _get(document, "files", list))
    check_paths(f.path for f in files)
    check_sizes({f.path: f.size for f in files})
    if "digest" in document and _digest(document, "digest") != content_digest(files):  # older programs write none
        raise ProtocolError("field 'digest' is not that of the files")
    return Manifest(
        environment=environment,
        package=package,
        version=ref.version,
        files=files,
        kind=_kind(document),
        previous=None if previous is None else _version_ref(previous),
        of=None if document.get("of") is None else check_version(_get(document, "of", str)),
        created=_get(document, "created", str),
        publisher=_get(document, "publisher", str),
        source=_get(document, "source", str),
    )


def _decode(data: bytes, limit: int, what: str, environment: str, package: str) -> dict[str, Any]:
    if len(data) > limit:
        raise ProtocolError(f"the {what} is larger than {limit:,} bytes")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise ProtocolError(f"the {what} is not JSON") from None
    if not isinstance(document, dict):
        raise ProtocolError(f"the {what} is not a JSON object")
    schema = document.get("schema")
    if isinstance(schema, int) and schema > SCHEMA:
        raise Newer(f"the {what} is of schema {schema}, newer than the {SCHEMA} known here: upgrade this program")
    if schema != SCHEMA:
        raise ProtocolError(f"the {what} has no schema number that is known here")
    for name, wanted in (("environment", environment), ("package", package)):
        if document.get(name) != wanted:
            raise ProtocolError(f"the {what} is of {name} {str(document.get(name))[:40]!r}, not {wanted!r}")
    return document


def _get(document: Mapping[str, Any], name: str, kind: type) -> Any:
    value = document.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ProtocolError(f"field {name!r} is missing or not of type {kind.__name__}")
    return value


def _digest(document: Mapping[str, Any], name: str) -> str:
    value: str = _get(document, name, str)
    if not re.fullmatch(SHA256_PATTERN, value):
        raise ProtocolError(f"field {name!r} is not a SHA-256 in hex")
    return value


def _kind(document: Mapping[str, Any]) -> Kind:
    for kind in get_args(Kind):
        if document.get("kind") == kind:
            return kind  # type: ignore[no-any-return]
    raise ProtocolError(f"field 'kind' is none of {', '.join(get_args(Kind))}")


def _version_ref(document: Any) -> VersionRef:
    if not isinstance(document, dict):
        raise ProtocolError("field 'previous' is not an object with version and manifest_sha256")
    return VersionRef(check_version(_get(document, "version", str)), _digest(document, "manifest_sha256"))


def _file(document: Any) -> File:
    if not isinstance(document, dict):
        raise ProtocolError("a file of the manifest is not an object")
    size = _get(document, "size", int)
    version_id = _get(document, "version_id", str)
    if size < 0:
        raise ProtocolError(f"a file of the manifest has size {size}")
    if version_id in ("", "null"):
        raise ProtocolError("a file of the manifest has no version id: versioning of the bucket was suspended")
    if not (version_id.isascii() and version_id.isprintable() and len(version_id) <= MAX_VERSION_ID):
        raise ProtocolError(f"a file of the manifest has the version id {version_id[:40]!r}, which no S3 gives")
    return File(
        check_path(_get(document, "path", str)),
        version_id,
        _get(document, "etag", str),
        size,
        _digest(document, "sha256"),
        "executable" in document and _get(document, "executable", bool),
    )


# --- what an object in the bucket means -------------------------------------------------------------------------

Meaning = Literal["live", "edit", "orphan"]


def meaning(
    version_id: str,
    digest_matches: bool,
    tag: str | None,
    pinned: File | None,
    live_versions: Iterable[str],
    pinned_by_tag: File | None = None,
    was_live: bool = False,
) -> Meaning:
    """Say what the current object under a package's prefix is.

    live: the pinned one, or the same bytes. edit: made by hand, since it has no tag, or the tag of a version that was
    live or that pins another object in this place (a copy by hand keeps the tag). orphan: of a publish that never
    became live, so never to be served.

    Args:
        version_id: of the current object.
        digest_matches: whether its bytes are the pinned ones (ETags of KMS buckets differ for equal bytes).
        tag: its `dag-publish` metadata; None also where that was made for another place.
        pinned: the file of that path in the live manifest.
        live_versions: versions that were ever live, the newest MAX_LIVE_VERSIONS of them.
        pinned_by_tag: the file of that path in the manifest of `tag`; None: there is no such manifest, or file.
        was_live: whether `tag` was live, where it is too old for `live_versions`.
    """
    if pinned and (version_id == pinned.version_id or digest_matches):
        return "live"
    if tag is None or not re.fullmatch(VERSION_PATTERN, tag) or was_live or tag in live_versions:
        return "edit"
    if pinned_by_tag is not None and pinned_by_tag.version_id != version_id:
        return "edit"
    return "orphan"


def place_of(bucket: str, key: str) -> str:
    """What a publish writes beside its tag: a copy into another place, with its metadata, is then seen for what it is."""
    return sha256(f"{bucket}/{key}".encode("utf-8", "surrogatepass"))[:16]
