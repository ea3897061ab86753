data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  # Made from the name, so that policies can be read in a plan, before the bucket exists.
  arn = "arn:${data.aws_partition.current.partition}:s3:::${var.name}"

  replication_role = "airflow-${var.environment}-replication"
}

# Without force_destroy: a bucket that holds DAGs is never deleted by a plan.
resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV2_AWS_62:dag-sync polls one listing; nothing waits for an event
  bucket = var.name
}

module "closed" {
  source = "../closed-bucket"

  bucket      = aws_s3_bucket.this.id
  arn         = local.arn
  kms_key_arn = var.kms_key_arn
  refusals    = concat([data.aws_iam_policy_document.encryption.json], data.aws_iam_policy_document.endpoints[*].json)
}

resource "aws_s3_bucket_logging" "this" {
  count = var.access_logs == null ? 0 : 1

  bucket        = aws_s3_bucket.this.id
  target_bucket = var.access_logs.bucket
  target_prefix = coalesce(var.access_logs.prefix, "${var.name}/")
}

# A listing without it is a failed poll: a mistyped or emptied bucket deletes no DAG. Its encryption is the bucket's:
# stated here too, it would be refused the day the bucket's changes.
resource "aws_s3_object" "environment_marker" {
  bucket = module.closed.bucket
  key    = "pointers/${var.environment}/_environment.json"
  content = jsonencode({
    schema      = 1
    environment = var.environment
    retention   = { days = var.noncurrent_days, versions = var.newer_noncurrent_versions }
  })

  content_type = "application/json"
}
