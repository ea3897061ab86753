provider "aws" {
  region = var.region

  default_tags {
    tags = {
      project     = "airflow-platform"
      environment = var.environment
    }
  }
}

data "aws_caller_identity" "current" {}

module "dag_bucket" {
  source = "../modules/dag-bucket"

  name                      = coalesce(var.bucket_name, "airflow-dags-${var.environment}-${data.aws_caller_identity.current.account_id}")
  environment               = var.environment
  noncurrent_days           = var.noncurrent_days
  newer_noncurrent_versions = var.newer_noncurrent_versions
  tls_only                  = var.tls_only
}

module "package_role" {
  source   = "../modules/package-role"
  for_each = var.packages

  environment = var.environment
  package     = each.key
  bucket_arn  = module.dag_bucket.arn
  publishers  = each.value.publishers
}

module "ecr_repository" {
  source   = "../modules/ecr-repository"
  for_each = var.packages

  name = "airflow-${var.environment}/${each.key}"
}

module "dag_read" {
  source = "../modules/dag-read"

  environment = var.environment
  bucket_arn  = module.dag_bucket.arn
}
