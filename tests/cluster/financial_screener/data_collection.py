"""Stands in for the Pi cluster's DAG of this name."""

from airflow.sdk import DAG, task

with DAG("data_collection", default_args={"owner": "screener"}, tags=["screener"]):

    @task
    def collect() -> None: ...

    collect()
