# A package's own secrets; what else its jobs may touch is the package's business, in policies of its own.
module "secrets_read" {
  source = "../secrets-read"

  secrets_arn = var.secrets.arn
  prefixes    = ["airflow/${var.environment}/jobs/${var.package}"]
  kms_key_arn = var.secrets.kms_key_arn
}

module "role" {
  source = "../service-account-role"

  name             = "airflow-${var.environment}-job-${var.package}"
  description      = "Job pods of DAG package ${var.package} in ${var.environment}"
  cluster          = var.cluster
  principals       = var.principals
  service_accounts = { namespace = var.namespace, names = [replace(var.package, "_", "-")] }

  policies            = { secrets = module.secrets_read.json }
  managed_policy_arns = var.managed_policy_arns
}
