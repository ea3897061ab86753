"""What every DAG of the package shares."""

from datetime import timedelta

NAMESPACE = "etl-jobs"

DEFAULT_ARGS = {
    "owner": "sales",
    "retries": 2,
    "retry_delay": timedelta(minutes=5),
}
