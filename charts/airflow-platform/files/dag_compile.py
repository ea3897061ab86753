"""Compiles Python files in a process of its own, under limits: a legal 4 MB list literal takes 1.4 GB, nesting can crash.

Started by dag_tree as `python -I -S dag_compile.py FOLDER`; the relative paths come on standard input, one a line.
Ends with 0, or with 1 and one line that names the first file that does not compile.
"""

import resource
import sys
import warnings
from pathlib import Path

MEMORY_BYTES = 192 * 1024 * 1024  # with dag-sync's own 64 MiB below a container's limit of 256 MiB
SECONDS = 10


def main() -> int:
    """Compile what standard input names."""
    folder = Path(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    for path in sys.stdin.read().splitlines():
        sys.stderr.write(f"\r{path}")  # the last words of a process that is killed
        sys.stderr.flush()
        try:
            compile((folder / path).read_bytes(), path, "exec", dont_inherit=True)
        except SyntaxError as error:
            print(f"{path}:{error.lineno or 0}: does not compile: {error.msg}")
            return 1
        except (ValueError, MemoryError, RecursionError, UnicodeDecodeError) as error:
            print(f"{path}: does not compile: {type(error).__name__} {error}".rstrip())
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
