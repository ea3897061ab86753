provider "aws" {
  region = "eu-central-1"
}

module "dag_bucket" {
  source = "../"

  name        = "airflow-dags-dev-123456789012"
  environment = "dev"

  # All of it optional: a key of one's own, S3's access logs, a copy elsewhere, and a VPC's endpoints as the only way in.
  kms_key_arn = "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  access_logs = { bucket = "access-logs-123456789012" }
  replication = {
    bucket_arn  = "arn:aws:s3:::airflow-dags-copy"
    kms_key_arn = "arn:aws:kms:eu-west-1:123456789012:key/66666666-7777-8888-9999-000000000000"
  }

  vpc_endpoint_ids          = ["vpce-0123456789abcdef0"]
  exempt_from_vpc_endpoints = ["arn:aws:iam::123456789012:role/terraform"]
}
