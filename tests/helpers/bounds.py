"""What is exhaustive: run whole by `make test-full`, and by `make test` where its files changed.

`tests/proved.yaml` has a digest for each subject, of the files that it is about and of its tests, as they were when
all of it last passed. Where they are so still, `make test` runs a part that is the same each time. A run of all tests
that passes writes the file: what was not proved before was whole in it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROVED = ROOT / "tests" / "proved.yaml"
HEAD = "# Digests of what last passed whole: `make test` runs a subject whole where its digest is another now, and then writes this.\n"
PART_ONLY = "AIRFLOW_PLATFORM_PART_ONLY"  # in the environment: never in full, whatever changed (make test-mutants)

CODE, PUBLISHER = "charts/airflow-platform/files", "packages/airflow_dag_publisher/src/airflow_dag_publisher"
MANAGE = ("scripts/manage.sh", "scripts/manage")
GUIDES = tuple(
    f"docs/how-to/{name}.md" for name in ("deploy", "from-the-incident", "verify-a-cluster")
)  # tests run lines of them
EVERYWHERE = (
    "versions.yaml",
    "locks",
    "pyproject.toml",
    "scripts/pinned.py",
    "scripts/local",
    "tests/conftest.py",
    "tests/helpers",
)
SUBJECTS: dict[str, tuple[str, ...]] = {
    "protocol": (CODE, PUBLISHER, "tests/protocol"),
    "delivery": (CODE, PUBLISHER, "values", "tests/dag_sync", "tests/airflow", "tests/store"),
    "bundles": (CODE, PUBLISHER, "tests/bundles"),
    "publisher": (CODE, PUBLISHER, "tests/publisher", "tests/validate", "tests/adopter", "tests/retention"),
    "terraform": ("terraform", CODE, PUBLISHER, *MANAGE, "tests/terraform"),
    "cluster": ("charts", "values", *MANAGE, *GUIDES, "tests/cluster", "tests/cluster_policy", "tests/checklist", "tests/render"),
    "manage": ("charts", PUBLISHER, "values", *MANAGE, "tests/manage"),
    "pipelines": ("examples/ci", "packages", "charts", "values", "terraform", *MANAGE, "Makefile", "tests/ci", "tests/policy"),
    "demo": ("scripts/demo", "scripts/bench", *MANAGE, CODE, PUBLISHER, "terraform", "values", "examples", "tests/cluster", "tests/demo", "tests/bench"),
}  # fmt: skip
"""Where the files of each are, beside those of EVERYWHERE. Too many cost time; one too few would hide a mistake."""


def digest(subject: str) -> str:
    """Of all files of a subject: those that git knows or would take."""
    found = sorted(file for place in (*EVERYWHERE, *SUBJECTS[subject]) for file in _files(place))
    lines = [f"{file} {hashlib.sha256((ROOT / file).read_bytes()).hexdigest()}" for file in dict.fromkeys(found)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _files(place: str) -> list[str]:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", place]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:  # no clone: then there is nothing beside what belongs to it
        walked = [ROOT / place] if (ROOT / place).is_file() else (ROOT / place).rglob("*")
        return [str(p.relative_to(ROOT)) for p in walked if p.is_file() and "__pycache__" not in p.parts]
    return [name for name in listed.stdout.split("\0")[:-1] if (ROOT / name).is_file()]


def digests() -> dict[str, str]:
    """Of every subject, as the files are now."""
    return {subject: digest(subject) for subject in SUBJECTS}


def not_proved(now: Mapping[str, str]) -> list[str]:
    """Subjects whose files are not as they were when all of it last passed. `now`: their digests."""
    proved = yaml.safe_load(PROVED.read_text()) if PROVED.exists() else {}
    return [name for name in SUBJECTS if proved.get(name) != now[name]]


def changed(now: Mapping[str, str]) -> list[str]:
    """What is to be run whole though nobody asks. `now`: the subjects' digests."""
    return [] if os.environ.get(PART_ONLY) else not_proved(now)


def prove(now: Mapping[str, str]) -> None:
    """Write that all passed in full."""
    PROVED.write_text(HEAD + yaml.safe_dump(dict(now)))
