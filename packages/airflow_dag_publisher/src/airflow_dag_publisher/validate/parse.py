"""The real parse: Airflow's own code on the package's files, in a process that can do no harm.

DAG files are programs. They run in a tree of their own, `<tmp>/dags/<package>/…`, without the caller's
environment, home, database or output, and with limits on time and memory. That guards against mistakes, not against
hostile code, which runs as the same user.
"""

from __future__ import annotations

import json
import os
import re
import signal
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from .dags import Dag
from .imports import is_installed
from .report import Code, Finding, warning

RUNNER = Path(__file__).with_name("parse_runner.py")
GRACE_SECONDS = 15  # for the runner to end by itself, so that it can name the file that was too slow

# Everything else stays out: AWS variables, tokens of the CI, settings of the caller's Airflow.
INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "SSL_CERT_FILE")


@dataclass(frozen=True)
class Limits:
    """What a parse may use.

    Args:
        seconds: for the whole package, Airflow's start included.
        import_seconds: for one file, as Airflow's `dagbag_import_timeout`.
        file_seconds: for one file that catches even that, as Airflow's `dag_file_processor_timeout`.
        memory: address space of one file's process, in bytes.
    """

    seconds: float = 60
    import_seconds: float = 30
    file_seconds: float = 50
    memory: int = 4 * 1024**3


@dataclass
class Parsed:
    """What the parse found.

    Args:
        files: the files that were parsed without an error.
        dags: their DAGs.
        findings: what the parse alone can tell.
        failure: why there was no parse at all; empty if there was one.
    """

    files: set[str] = field(default_factory=set)
    dags: list[Dag] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    failure: str = ""


def airflow_version() -> str | None:
    """Return the version of the Airflow installed here, or None."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version("apache-airflow-core") if is_installed("airflow") else None
    return None


def parse_package(
    package: str, contents: Mapping[str, bytes], skip: Collection[str], limits: Limits, inner: str
) -> Parsed:
    """Parse a package as Airflow's dag-processor would.

    Args:
        package: its name.
        contents: its files.
        skip: files not to parse, since it is known already why they would fail.
        limits: what it may use.
        inner: the folder in the package's own that they are in.

    Returns:
        what was found; nothing is raised for anything that a DAG file does.
    """
    with tempfile.TemporaryDirectory(prefix="airflow-dag-publisher-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        dags = folder / "dags" / package / inner
        for path, data in contents.items():
            (dags / path).parent.mkdir(parents=True, exist_ok=True)
            (dags / path).write_bytes(data)
        request = {"root": str(folder / "dags"), "dags": str(dags), "skip": sorted(skip), **asdict(limits)}
        request["deadline"] = time.monotonic() + limits.seconds
        (folder / "request.json").write_text(json.dumps(request))
        log = _run(folder, limits)
        try:
            results = json.loads((folder / "results.json").read_text())
        except (OSError, ValueError):
            return Parsed(failure=f"Airflow does not start here ({_last_line(log)})")
    parsed = Parsed()
    for result in results:
        _read_result(parsed, result, dags, limits)
    return parsed


def _run(folder: Path, limits: Limits) -> str:
    """Run the runner to its end and return what it wrote; DAG files write to nowhere."""
    process = subprocess.Popen(
        [sys.executable, "-P", str(RUNNER), str(folder)],
        cwd=folder,
        env=_environment(folder, limits),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        return process.communicate(timeout=limits.seconds + GRACE_SECONDS)[0].decode(errors="replace")
    except subprocess.TimeoutExpired:
        return f"no answer within {limits.seconds:g} s"
    finally:
        with suppress(ProcessLookupError):  # what DAG files started and left behind
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _environment(folder: Path, limits: Limits) -> dict[str, str]:
    for name in ("home", "airflow", "tmp"):
        (folder / name).mkdir()
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | {
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONUSERBASE": site.getuserbase(),  # else a `pip install --user` Airflow goes with the home
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": str(limits.import_seconds),
        "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "1000",  # else the DAG file's own line may be cut off
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder / 'airflow' / 'airflow.db'}",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
    }


def _last_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it ended without a word"


_MODULE_PREFIX = re.compile(r"unusual_prefix_[0-9a-f]{40}_")  # Airflow's name for a DAG file's module


# --- what the runner found, as findings -----------------------------------------------------------------------


def _read_result(parsed: Parsed, result: dict[str, Any], dags: Path, limits: Limits) -> None:
    path: str = result["path"]
    findings = list(_ending(path, result, limits))
    for text in result.get("errors", []):
        findings.append(_error(path, text, dags))
    for dag_id, reason in result.get("unserializable", {}).items():
        reason = _MODULE_PREFIX.sub("", reason.removeprefix(f"Failed to serialize DAG {dag_id!r}: "))
        message = (
            f"DAG {dag_id!r} cannot be stored by Airflow: {reason[:300]}; give it plain values, "
            "or, if a plugin of the image knows it, install that here"
        )
        findings.append(Finding(path, 1, Code.SERIALIZATION, message))
    parsed.findings += [*findings, *_deprecations(result.get("warnings", []), dags)]
    if not findings:
        parsed.files.add(path)
        parsed.dags += [
            Dag(path, 1, d["dag_id"], True, frozenset(d["owners"]), bool(d["tags"])) for d in result["dags"]
        ]


def _ending(path: str, result: dict[str, Any], limits: Limits) -> Iterator[Finding]:
    """Say of a process that gave no result how it ended."""
    ending = result["ending"]
    if ending == "timeout":
        yield Finding(path, 1, Code.PARSE_TIMEOUT, f"was still running after {result['seconds']:.0f} s; {_SLOW}")
    elif ending == "not started":
        message = f"was not parsed: the files before it took all of the {limits.seconds:g} s"
        yield Finding(path, 1, Code.PARSE_TIMEOUT, message)
    elif ending == "exit":
        status = result["status"]
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"left Python with exit code {status}"
        message = f"its parse {how}; it must define DAGs and nothing else when it is imported"
        yield Finding(path, 1, Code.PARSE_CRASH, message)


_SLOW = "do the work in tasks: Airflow runs the file's top level again and again"


def _error(path: str, text: str, dags: Path) -> Finding:
    """Turn an import error, a traceback or one line, into a finding at the innermost line of the package's own code."""
    frames = re.findall(rf'File "{re.escape(str(dags))}/([^"]+)", line (\d+)', text)
    where, line = (frames[-1][0], int(frames[-1][1])) if frames else (path, 1)
    last = _exception(text).replace(f"{dags}/", "")
    name, _, reason = last.partition(": ")
    kind = name.rpartition(".")[2]
    via = f" (imported by {path})" if where != path else ""
    match kind:
        case "AirflowTaskTimeout":
            return Finding(where, line, Code.PARSE_TIMEOUT, f"was too slow to import{via}; {_SLOW}")
        case "MemoryError":
            return Finding(where, line, Code.PARSE_MEMORY, f"needs too much memory to import{via}; {_SLOW}")
        case "AirflowDagCycleException":
            return Finding(where, line, Code.CYCLE, f"{reason}; take one dependency out")
        case "AirflowTimetableInvalid":
            return Finding(where, line, Code.CRON, f"a schedule cannot be: {reason}; see croniter's syntax")
        case "AirflowNotFoundException" | "AirflowRuntimeError" if "NOT_FOUND" in last or "conn_id" in last:
            return warning(
                where, line, Code.NEEDS_VARIABLE,
                f"asks Airflow's database for a value while it is parsed, so nothing more is known of it here{via}: {reason}; "
                "read it in a task, or by a template as {{ var.value.name }}",
            )  # fmt: skip
        case _:
            message = f"fails at import: {last}{via}; mend it, Airflow would take no DAG from this file"
            return Finding(where, line, Code.IMPORT_ERROR, message)


def _exception(text: str) -> str:
    """The last lines of a traceback, which are all that an author needs beside the place."""
    lines = text.strip().splitlines()
    frames = [i for i, line in enumerate(lines) if line.startswith(("  ", "Traceback "))]
    return " ".join(line.strip() for line in lines[frames[-1] + 1 if frames else 0 :])[:500] or lines[-1].strip()[:500]


def _deprecations(warnings: Iterable[str], dags: Path) -> Iterator[Finding]:
    for text in warnings:
        match = re.fullmatch(r"(.+?):(\d+): ([\w.]+): (.*)", text, re.DOTALL)
        if match and match[1].startswith(f"{dags}/") and re.search("Deprecat|RemovedIn", match[3]):
            yield warning(match[1].removeprefix(f"{dags}/"), int(match[2]), Code.DEPRECATED, match[4].strip())
