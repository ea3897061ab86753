provider "aws" {
  region = "eu-central-1"
}

module "state_backend" {
  source = "../"

  name = "airflow-terraform-state-123456789012"
}
