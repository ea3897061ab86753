"""The whole job on a fake AWS and a real Airflow: `make demo`."""
