"""What is exhaustive: run whole by `make test-full`, and by `make test` where its files changed since then.

`tests/proved.yaml` has a digest for each subject, of the files that it is about and of its tests, as they were when
`make test-full` last passed. Where they are so still, `make test` runs a part that is the same each time.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROVED = ROOT / "tests" / "proved.yaml"
HEAD = "# Digests of what `make test-full` last passed on: `make test` runs these in full where they are others now.\n"
PART_ONLY = "AIRFLOW_PLATFORM_PART_ONLY"  # in the environment: never in full, whatever changed (make test-mutants)

CODE, PUBLISHER = "charts/airflow-platform/files", "packages/airflow_dag_publisher/src/airflow_dag_publisher"
HELPERS = "tests/helpers"
SUBJECTS = {
    "protocol": [f"{CODE}/dag_protocol.py", f"{CODE}/dag_package.py", f"{PUBLISHER}/publishing.py", "tests/protocol", f"{HELPERS}/memory_store.py"],
    "delivery": [CODE, "tests/dag_sync", "tests/airflow", f"{HELPERS}/airflow.py", f"{HELPERS}/fault_proxy.py"],
    "publisher": [CODE, PUBLISHER, "tests/publisher", "tests/validate", f"{HELPERS}/forks.py", f"{HELPERS}/fault_proxy.py"],
    "terraform": ["terraform", "scripts/manage.sh", "scripts/manage", "scripts/bucket_export", "scripts/state_bucket.py", "scripts/tfvars.py",
                  "tests/terraform", *(f"{HELPERS}/{name}.py" for name in ("terraform", "fake_aws", "fake_aws_server", "web_identity", "web_identity_server"))],
    "cluster": ["charts", "values", "scripts/manage.sh", "scripts/manage", "scripts/layers", "tests/cluster", "tests/checklist"],
    "manage": ["values", "scripts/manage.sh", "scripts/manage", "scripts/layers", "scripts/bucket_export", "tests/manage"],
    "pipelines": ["examples/ci", "packages", "scripts/manage.sh", "scripts/manage", "Makefile", "tests/ci"],
    "demo": ["scripts/demo.py", "scripts/bench", CODE, PUBLISHER, "examples/sales", "examples/finance", "tests/demo", "tests/bench", f"{HELPERS}/airflow.py"],
}  # fmt: skip
"""Where the files of each are."""


def digest(subject: str) -> str:
    """Of all files of a subject."""
    found = [file for place in SUBJECTS[subject] for file in _files(ROOT / place)]
    lines = [f"{file.relative_to(ROOT)} {hashlib.sha256(file.read_bytes()).hexdigest()}" for file in found]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _files(place: Path) -> list[Path]:
    found = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    return [p for p in found if not {"__pycache__", ".terraform"} & set(p.parts)]


def changed() -> list[str]:
    """Subjects whose files are not as `make test-full` last passed on."""
    proved = yaml.safe_load(PROVED.read_text()) if PROVED.exists() else {}
    return [] if os.environ.get(PART_ONLY) else [name for name in SUBJECTS if proved.get(name) != digest(name)]


def main() -> None:
    """Write that all passed in full."""
    PROVED.write_text(HEAD + yaml.safe_dump({name: digest(name) for name in SUBJECTS}))


if __name__ == "__main__":
    main()
