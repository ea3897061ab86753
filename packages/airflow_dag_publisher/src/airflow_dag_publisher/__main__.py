"""`python -m airflow_dag_publisher`."""

from .cli import main

main()
