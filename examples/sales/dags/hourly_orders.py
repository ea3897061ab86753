"""Loads the orders of the last hour: tasks in Python, values passed between them."""

import pendulum
from airflow.sdk import dag, task
from sales.dags.helpers.defaults import DEFAULT_ARGS
from sales.dags.helpers.orders import is_complete, total_by_region


@dag(
    schedule="@hourly",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args=DEFAULT_ARGS,
    tags=["sales", "orders"],
    doc_md=__doc__,
)
def sales_hourly_orders():
    @task
    def extract():
        return [
            {"id": 1, "region": "emea", "amount": 120.0},
            {"id": 2, "region": "apac", "amount": 80.0},
            {"id": 3, "region": "emea", "amount": None},
        ]

    @task
    def drop_incomplete(orders):
        return [order for order in orders if is_complete(order)]

    @task
    def summarize(orders):
        return total_by_region(orders)

    summarize(drop_incomplete(extract()))


sales_hourly_orders()
