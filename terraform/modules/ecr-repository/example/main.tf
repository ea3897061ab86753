provider "aws" {
  region = "eu-central-1"
}

module "ecr_repository" {
  source = "../"

  name    = "airflow/sales"
  pullers = ["arn:aws:iam::210987654321:root"]
}
