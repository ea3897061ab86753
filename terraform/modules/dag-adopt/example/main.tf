provider "aws" {
  region = "eu-central-1"
}

module "dag_adopt" {
  source = "../"

  environment = "dev"
  bucket_arn  = "arn:aws:s3:::airflow-dags-dev-123456789012"
  account_id  = "123456789012"
}

output "policy" {
  description = "The policy document."
  value       = module.dag_adopt.json
}
