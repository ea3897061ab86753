"""One DAG per currency: each has its own schedule and history, all come from one list."""

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

PUBLISHED = {"eur": "15 15 * * MON-FRI", "jpy": "5 8 * * MON-FRI"}

for currency, schedule in PUBLISHED.items():
    with DAG(
        f"finance_rates_{currency}",
        schedule=schedule,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        default_args={"owner": "finance"},
        tags=["finance", "rates"],
    ):
        BashOperator(task_id="fetch", bash_command=f"echo rates of {currency} for {{{{ ds }}}}")
