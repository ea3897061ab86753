provider "aws" {
  region = "eu-central-1"
}

module "remote_logs" {
  source = "../"

  environment = "dev"
  bucket_arn  = "arn:aws:s3:::airflow-dags-dev-123456789012"
  account_id  = "123456789012"
  write       = true
}

output "policy" {
  description = "The policy document."
  value       = module.remote_logs.json
}
