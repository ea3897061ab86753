provider "aws" {
  region = "eu-central-1"
}

module "operator_role" {
  source = "../"

  environment            = "dev"
  bucket_arn             = "arn:aws:s3:::airflow-dags-dev-123456789012"
  account_id             = "123456789012"
  image_repositories_arn = "arn:aws:ecr:eu-central-1:123456789012:repository/airflow/*"
  log_groups_arn         = "arn:aws:logs:eu-central-1:123456789012:log-group:/airflow/dev/*"
  principals             = ["arn:aws:iam::123456789012:role/data-platform"]
}
