provider "aws" {
  region = "eu-central-1"
}

module "secrets_read" {
  source = "../"

  secrets_arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret"
  prefixes    = ["airflow/dev/connections", "airflow/dev/variables"]
}

output "policy" {
  description = "The policy document."
  value       = module.secrets_read.json
}
