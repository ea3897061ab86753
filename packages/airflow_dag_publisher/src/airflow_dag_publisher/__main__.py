"""`python -m airflow_dag_publisher`."""

import sys


def main() -> None:
    """Run the command. Ctrl-C while it is still being loaded is no traceback either."""
    try:
        from .cli import main as command
    except KeyboardInterrupt:
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
