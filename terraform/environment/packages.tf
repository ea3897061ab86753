# What each package has in the environment. Its image repository is the account's: one for all environments.
locals {
  registry         = { account = coalesce(var.registry.account, local.account), region = coalesce(var.registry.region, var.region) }
  repositories_arn = "arn:${local.partition}:ecr:${local.registry.region}:${local.registry.account}:repository"
  repositories     = { for name, package in local.packages : name => coalesce(package.image_repository, "airflow/${name}") }
}

module "package_role" {
  source   = "../modules/package-role"
  for_each = local.packages

  environment          = var.environment
  package              = each.key
  bucket_arn           = module.dag_bucket.arn
  account_id           = local.account
  kms_key_arn          = var.bucket.kms_key_arn
  image_repository     = { arn = "${local.repositories_arn}/${local.repositories[each.key]}", push = var.push_images }
  approval_environment = var.approval_environment
  github               = each.value.github
  gitlab               = each.value.gitlab
  principals           = lookup(each.value.publishers, var.environment, [])

  oidc_provider_arns = {
    github = "${local.iam}:oidc-provider/${var.issuers.github}"
    gitlab = "${local.iam}:oidc-provider/${var.issuers.gitlab}"
  }
}

module "job_role" {
  source   = "../modules/job-role"
  for_each = local.packages

  environment         = var.environment
  package             = each.key
  namespace           = try(var.cluster.jobs_namespace, "etl-jobs")
  cluster             = local.cluster
  principals          = local.readers
  secrets             = { arn = local.secrets_arn, kms_key_arn = var.secrets.kms_key_arn }
  managed_policy_arns = each.value.job_policies
}
