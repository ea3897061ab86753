data "aws_partition" "current" {}

locals {
  # Made from the name, so that policies can be read in a plan, before the bucket exists.
  arn = "arn:${data.aws_partition.current.partition}:s3:::${var.name}"
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
  refusals    = [data.aws_iam_policy_document.encryption.json]
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  count = var.noncurrent_days + var.log_days == 0 ? 0 : 1

  bucket = module.closed.bucket

  rule {
    id     = "retention"
    status = var.noncurrent_days == 0 ? "Disabled" : "Enabled"

    # S3 does not know which version of a package is live: a publish that ends half-way makes its objects noncurrent. So
    # nothing goes but what dag-adopter tagged, which no promised version needs (dag_retention.py), and then only when it
    # is both: older than the days, and beyond the newest ones.
    filter {
      tag {
        key   = "dag-retention"
        value = "expired"
      }
    }

    noncurrent_version_expiration {
      noncurrent_days           = max(var.noncurrent_days, 30)
      newer_noncurrent_versions = var.newer_noncurrent_versions
    }
  }

  # Task logs are no DAGs: they go by age alone, or the rule above would keep each of them for ever.
  rule {
    id     = "logs"
    status = var.log_days == 0 ? "Disabled" : "Enabled"

    filter {
      prefix = "logs/${var.environment}/"
    }

    expiration {
      days = max(var.log_days, 1)
    }

    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }

  # The delete markers of expired logs, which nobody restores, at once instead of after another log_days.
  rule {
    id     = "log-markers"
    status = var.log_days == 0 ? "Disabled" : "Enabled"

    filter {
      prefix = "logs/${var.environment}/"
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  rule {
    id     = "uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }

  # A pointer's own history, the way back when somebody damages it.
  rule {
    id     = "pointers"
    status = var.noncurrent_days == 0 ? "Disabled" : "Enabled"

    filter {
      prefix = "pointers/"
    }

    noncurrent_version_expiration {
      noncurrent_days           = max(var.noncurrent_days, 30)
      newer_noncurrent_versions = var.newer_noncurrent_versions
    }
  }
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
