"""Stands in for the Pi cluster's DAG of this name."""

from airflow.sdk import DAG, Asset, task

with DAG(
    "calculate_indicators",
    schedule=[Asset("equities")],
    is_paused_upon_creation=False,
    default_args={"owner": "screener"},
    tags=["screener"],
):

    @task
    def calculate() -> None: ...

    calculate()
