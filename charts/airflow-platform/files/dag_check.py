"""Checks the contents of a version in a process of its own, under limits: nothing in a package can cost others their time.

Started by dag_contents as `python -I dag_check.py FOLDER SECONDS NICENESS`; the relative paths come on standard input, one a
line. Ends with 0, or with 1 and one line that says what is refused. Time is no property of content: what takes more than
SECONDS of CPU is not refused but undecided, which is 3 and a line, or a death by SIGXCPU.
"""

from __future__ import annotations

import os
import resource
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # -I leaves it out, so that no folder of a package can be on it

import pathspec

import dag_protocol as protocol
from dag_protocol import ProtocolError

MEMORY_BYTES = 192 * 1024 * 1024  # two at once, beside dag-sync's own 64 MiB, stay below a container's limit of 512 MiB
MATCHING_SECONDS = 1.0  # of CPU, for all patterns on all names: Airflow does the same at each refresh
MAX_TOLD = 300
REFUSED, UNDECIDED = 1, 3


def main() -> int:
    """Check what standard input names."""
    folder, seconds = Path(sys.argv[1]), int(sys.argv[2])
    os.nice(int(sys.argv[3]))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    paths = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").splitlines()
    try:
        for path in paths:
            _begin(path, seconds)
            _check(path, (folder / path).read_bytes())
        _begin(protocol.IGNORE_FILE, seconds)
        _match(folder, paths)
    except ProtocolError as error:
        return _tell(error, REFUSED)
    except TimeoutError as error:
        return _tell(error, UNDECIDED)
    return 0


def _tell(error: Exception, code: int) -> int:
    print(" ".join(str(error).split())[:MAX_TOLD].encode("ascii", "backslashreplace").decode())
    return code


def _begin(path: str, seconds: int) -> None:
    """Give the next file its time: what one needs is not another's, and a package of many files is no bomb."""
    sys.stderr.write(f"\r{path}")  # the last words of a process that is killed
    sys.stderr.flush()
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _check(path: str, data: bytes) -> None:
    protocol.check_content(path, data)
    if path.endswith(".py"):
        _compile(path, data)


def _compile(path: str, data: bytes) -> None:
    try:
        compile(data, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise ProtocolError(f"{path}:{error.lineno or 0}: does not compile: {str(error.msg)[:100]}") from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise ProtocolError(f"{path}: does not compile: {type(error).__name__} {str(error)[:100]}".rstrip()) from None


def _match(folder: Path, paths: list[str]) -> None:
    """Try the patterns on the names, as Airflow will."""
    ignoring = [path for path in paths if protocol.is_ignore_file(path)]
    if not ignoring:
        return
    before = os.times().user
    for ignore_file in ignoring:
        below = ignore_file.removesuffix(protocol.IGNORE_FILE)
        spec = pathspec.GitIgnoreSpec.from_lines(protocol.ignore_patterns((folder / ignore_file).read_bytes()))
        for path in paths:
            if path.startswith(below):
                spec.match_file(path.removeprefix(below))
                if os.times().user - before > MATCHING_SECONDS:
                    raise TimeoutError(
                        f"{ignore_file}: its patterns take more than {MATCHING_SECONDS:g} s for the package's names"
                    )


if __name__ == "__main__":
    sys.exit(main())
