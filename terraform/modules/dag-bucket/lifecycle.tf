# What expires, and when.
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
