"""The world on this machine: AWS, S3, Airflow, PostgreSQL, a control plane, for the demo, the benchmarks and the tests."""
