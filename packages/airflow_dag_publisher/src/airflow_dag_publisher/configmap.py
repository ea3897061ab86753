"""A package as a Kubernetes ConfigMap, for the delivery mode `configmap`: small packages, and nothing but kubectl."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path

import dag_protocol as protocol
from dag_protocol import ProtocolError

MAX_BYTES = 1024 * 1024  # Kubernetes sums what the files hold, not their names (MaxSecretSize in ValidateConfigMap)
# etcd takes 1.5 MiB. A server-side apply stores each name twice and 18 bytes more (measured on 1.36); the rest is labels.
MAX_STORED_BYTES = 1536 * 1024 - 4096
KEY = re.compile(r"[-._a-zA-Z0-9]+")
# In text these do not survive `kubectl apply --server-side` (each character tried on 1.36): refused, and U+0085 is a space.
NOT_TEXT = re.compile("[\x7f-\x9f\ufffe\uffff]")
# The kubelet keeps the files in `..2026_…/` behind a link `..data`. Airflow follows both, sees a folder twice and ends.
HIDE_VOLUME = b"..*\n"
ANOTHER_WAY = "or deliver the package in another mode, as by `publish`"


def check_files(dags_dir: Path, files: Mapping[str, Path]) -> None:
    """Raise ProtocolError for what has no place in a ConfigMap, whatever it holds: sub-folders and odd names."""
    folders = {path.split("/")[0] for path in files if "/" in path}
    folders |= {p.name for p in dags_dir.iterdir() if p.is_symlink() and p.is_dir() and not p.name.startswith(".")}
    if folders:
        raise ProtocolError(
            f"{dags_dir / min(folders)} is a sub-folder, and a ConfigMap has none: "
            f"move its files up into {dags_dir}, {ANOTHER_WAY}"
        )
    for path, file in files.items():
        if not KEY.fullmatch(path):
            raise ProtocolError(f"file name {path!r} has more than letters, digits, '-', '_' and '.': rename it")
        if not file.is_file():  # opening a pipe would wait for ever
            raise ProtocolError(f"{file} cannot be read: it is not a file")


def manifest(package: str, namespace: str, contents: Mapping[str, bytes]) -> bytes:
    """Return the ConfigMap as YAML, the same for the same files. Raises ProtocolError if they are too large for one."""
    own_ignore = contents.get(protocol.IGNORE_FILE, b"")
    contents = {**contents, protocol.IGNORE_FILE: with_volume_hidden(own_ignore)}
    _check_size(package, contents)
    name = "airflow-dags-" + protocol.check_package(package).replace("_", "-")
    lines = [
        "apiVersion: v1",
        "kind: ConfigMap",
        "metadata:",
        f"  name: {name}",
        f"  namespace: {_quoted(namespace)}",
        "  labels:",
        "    app.kubernetes.io/managed-by: airflow-dag-publisher",
        "    app.kubernetes.io/part-of: airflow-platform",
        "  annotations:",
        f"    airflow-platform/package: {_quoted(package)}",
    ]
    texts: list[str] = []
    binaries: list[str] = []
    for path, data in sorted(contents.items()):
        text = _text(data)
        if text is None:
            binaries.append(f"  {_quoted(path)}: {base64.b64encode(data).decode()}")
        else:
            texts.append(f"  {_quoted(path)}: {_scalar(text)}")
    lines += ["data:", *texts]
    lines += ["binaryData:", *binaries] if binaries else []
    return ("\n".join(lines) + "\n").encode()


def with_volume_hidden(own: bytes) -> bytes:
    """Return the package's own ignore file with our line behind it, since the last pattern that matches wins."""
    return own + (b"\n" if own and not own.endswith(b"\n") else b"") + HIDE_VOLUME


def _check_size(package: str, contents: Mapping[str, bytes]) -> None:
    total = sum(map(len, contents.values()))
    names = sum(2 * len(path) + 18 for path in contents)
    if total > MAX_BYTES:
        largest = max(contents, key=lambda path: len(contents[path]))
        raise ProtocolError(
            f"package {package} has {total:,} bytes, more than the {MAX_BYTES:,} that a ConfigMap may have: "
            f"leave out what its DAGs do not need (the largest is {largest} with {len(contents[largest]):,}), {ANOTHER_WAY}"
        )
    if total + names > MAX_STORED_BYTES:
        raise ProtocolError(
            f"package {package} has {len(contents):,} files, and needs {names:,} bytes for their names beside {total:,} "
            f"for what they hold, more than the {MAX_STORED_BYTES:,} that etcd takes: shorten the names, {ANOTHER_WAY}"
        )


def _text(data: bytes) -> str | None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if NOT_TEXT.search(text) else text


def _scalar(text: str) -> str:
    """A value below `data`: lines as they are where every YAML reader gives back the same, else a quoted string."""
    if not text or text[0].isspace() or not all(c.isprintable() or c in "\n\t" for c in text):
        return _quoted(text)
    lines = text.removesuffix("\n").split("\n")
    keep = "-" if not text.endswith("\n") else "+" if text.endswith("\n\n") else ""
    return "\n".join([f"|{keep}", *(f"    {line}" if line else "" for line in lines)])


def _quoted(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(c) or (c if c.isprintable() else f"\\U{ord(c):08x}") for c in text) + '"'


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
