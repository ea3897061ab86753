data "aws_partition" "current" {}

locals {
  arn = "arn:${data.aws_partition.current.partition}:s3:::${var.name}"
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV2_AWS_62:nothing waits for a change of a state
  #checkov:skip=CKV_AWS_144:a state can be imported again; its old versions are here
  #checkov:skip=CKV_AWS_18:access logs need a bucket of their own
  bucket = var.name

  # The states of every environment: without them Terraform knows of nothing that it built.
  lifecycle {
    prevent_destroy = true
  }
}

module "closed" {
  source = "../closed-bucket"

  bucket      = aws_s3_bucket.this.id
  arn         = local.arn
  kms_key_arn = var.kms_key_arn
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = module.closed.bucket

  rule {
    id     = "retention"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days           = 365
      newer_noncurrent_versions = 50
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
}
