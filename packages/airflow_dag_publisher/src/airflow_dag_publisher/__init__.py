"""Validate, publish, roll back and inspect packages of Airflow DAGs in a versioned S3 bucket."""
