"""The benchmarks: `python -m scripts.bench [part …] [--quick]` measures, and writes tables and plots of what it measured.

`latency`: from an acknowledged pointer to a DAG that is visible. `polls`: what a poll and a first delivery cost, beside
other programs. `faults`: what those programs do where data can be lost. `mixed`: reads during flips. `neighbours`: a publish
beside a package that publishes bombs. `terraform` and `cluster`: what many packages take to plan and apply, and to deploy.
"""

import sys
from pathlib import Path

sys.path.insert(
    0, str(Path(__file__).parents[2] / "charts" / "airflow-platform" / "files")
)  # dag_sync and what is beside it
