provider "aws" {
  region              = var.region
  allowed_account_ids = var.account_id == null ? null : [var.account_id]

  default_tags {
    tags = {
      project     = "airflow-platform"
      environment = var.environment
    }
  }
}

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account   = data.aws_caller_identity.current.account_id
  partition = data.aws_partition.current.partition
  iam       = "arn:${local.partition}:iam::${local.account}"

  known_environments = [for file in fileset("${path.module}/../environments", "*.tfvars") : trimsuffix(file, ".tfvars")]

  packages = { for name, package in var.packages : name => package if try(contains(package.environments, var.environment), true) }
}

module "dag_bucket" {
  source = "../modules/dag-bucket"

  name                      = coalesce(var.bucket.name, "airflow-dags-${var.environment}-${local.account}")
  environment               = var.environment
  kms_key_arn               = var.bucket.kms_key_arn
  noncurrent_days           = var.bucket.noncurrent_days
  newer_noncurrent_versions = var.bucket.newer_noncurrent_versions
  log_days                  = var.bucket.log_days
  access_logs               = var.bucket.access_logs
  replication               = var.bucket.replication
  vpc_endpoint_ids          = var.bucket.vpc_endpoint_ids
  exempt_from_vpc_endpoints = var.bucket.exempt_from_vpc_endpoints
}

module "observability" {
  source = "../modules/observability"

  environment    = var.environment
  packages       = keys(local.packages)
  retention_days = var.log_groups.retention_days
  kms_key_arn    = var.log_groups.kms_key_arn
}

module "operator_role" {
  source = "../modules/operator-role"
  count  = length(var.operators) == 0 ? 0 : 1

  environment            = var.environment
  bucket_arn             = module.dag_bucket.arn
  account_id             = local.account
  kms_key_arn            = var.bucket.kms_key_arn
  image_repositories_arn = "${local.repositories_arn}/airflow/*"
  log_groups_arn         = "arn:${local.partition}:logs:${var.region}:${local.account}:log-group:/airflow/${var.environment}/*"
  principals             = var.operators
}
