provider "aws" {
  region = "eu-central-1"
}

module "package_role" {
  source = "../"

  environment          = "prod"
  package              = "sales"
  bucket_arn           = "arn:aws:s3:::airflow-dags-prod-123456789012"
  account_id           = "123456789012"
  image_repository     = { arn = "arn:aws:ecr:eu-central-1:123456789012:repository/airflow/sales" }
  github               = { repository = "acme/sales-dags" }
  approval_environment = "production"

  oidc_provider_arns = {
    github = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    gitlab = "arn:aws:iam::123456789012:oidc-provider/gitlab.com"
  }
}
