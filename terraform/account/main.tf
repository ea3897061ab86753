provider "aws" {
  region              = var.region
  allowed_account_ids = var.account_id == null ? null : [var.account_id]

  default_tags {
    tags = {
      project = "airflow-platform"
    }
  }
}

# A state cannot be where its bucket is not yet: manage.sh init makes the bucket, and Terraform takes it over here.
import {
  to = module.state_backend.aws_s3_bucket.this
  id = var.state_bucket
}

module "state_backend" {
  source = "../modules/state-backend"

  name        = var.state_bucket
  kms_key_arn = var.state_kms_key_arn
}

module "oidc_provider" {
  source   = "../modules/oidc-provider"
  for_each = var.oidc_providers

  url         = each.value.url
  thumbprints = each.value.thumbprints
}

# One per package for all environments: what dev pushed is what prod pulls, by its digest.
module "ecr_repository" {
  source   = "../modules/ecr-repository"
  for_each = { for name, package in var.packages : name => coalesce(package.image_repository, "airflow/${name}") }

  name            = each.value
  keep_deployable = var.images.keep_deployable
  trial_days      = var.images.trial_days
  kms_key_arn     = var.images.kms_key_arn
  pullers         = var.images.pullers
}
