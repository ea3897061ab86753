# One role for each of Airflow's components, and only what it needs: pods that parse DAGs or run tasks run what teams wrote.
locals {
  secrets_arn = "arn:${local.partition}:secretsmanager:${var.region}:${local.account}:secret"

  cluster = var.cluster == null ? null : {
    name              = var.cluster.name
    identity          = var.cluster.identity
    arn               = "arn:${local.partition}:eks:${var.region}:${local.account}:cluster/${var.cluster.name}"
    oidc_provider_arn = var.cluster.issuer == null ? null : "${local.iam}:oidc-provider/${trimprefix(var.cluster.issuer, "https://")}"
  }

  # Without a cluster the account itself: whom IAM allows it may take the roles.
  readers = var.cluster == null ? coalescelist(var.readers, ["${local.iam}:root"]) : var.readers

  reads_dags   = { dag-read = module.dag_read.json }
  adopts       = { dag-adopt = module.dag_adopt.json }
  writes_logs  = { logs = module.remote_logs["write"].json }
  reads_logs   = { logs = module.remote_logs["read"].json }
  reads_secret = var.secrets.backend ? { secrets = module.secrets_read.json } : {}

  components = {
    scheduler     = merge(local.reads_dags, local.writes_logs, local.reads_secret) # runs tasks with LocalExecutor
    dag_processor = local.reads_dags
    triggerer     = merge(local.writes_logs, local.reads_secret)
    worker        = merge(local.reads_dags, local.writes_logs, local.reads_secret)
    api_server    = merge(local.reads_logs, local.reads_secret) # looks connections up for tasks
    dag_adopter   = merge(local.reads_dags, local.adopts)
  }
}

locals {
  # The official chart's names begin with its release; dag-adopter is of our own chart.
  release = try(var.cluster.release, "airflow")
  service_accounts = merge(
    { for name in keys(local.components) : name => ["${local.release}-${replace(name, "_", "-")}"] },
    {
      worker      = ["${local.release}-worker", "${local.release}-worker-kubernetes"] # Celery's, and the Kubernetes executor's
      dag_adopter = ["airflow-dag-adopter"]
    },
  )
}

module "dag_read" {
  source = "../modules/dag-read"

  environment = var.environment
  bucket_arn  = module.dag_bucket.arn
  account_id  = local.account
  kms_key_arn = var.bucket.kms_key_arn
}

module "dag_adopt" {
  source = "../modules/dag-adopt"

  environment = var.environment
  bucket_arn  = module.dag_bucket.arn
  account_id  = local.account
  kms_key_arn = var.bucket.kms_key_arn
}

module "remote_logs" {
  source   = "../modules/remote-logs"
  for_each = { read = false, write = true }

  environment = var.environment
  bucket_arn  = module.dag_bucket.arn
  account_id  = local.account
  kms_key_arn = var.bucket.kms_key_arn
  write       = each.value
}

module "secrets_read" {
  source = "../modules/secrets-read"

  secrets_arn = local.secrets_arn
  prefixes    = ["airflow/${var.environment}/connections", "airflow/${var.environment}/variables"]
  kms_key_arn = var.secrets.kms_key_arn
}

module "component_role" {
  source   = "../modules/service-account-role"
  for_each = local.components

  name             = "airflow-${var.environment}-${replace(each.key, "_", "-")}"
  description      = "Airflow's ${replace(each.key, "_", "-")} in ${var.environment}"
  cluster          = local.cluster
  principals       = local.readers
  service_accounts = { namespace = try(var.cluster.namespace, "airflow"), names = local.service_accounts[each.key] }
  policies         = each.value
}
