module "bucket_owner" {
  source = "../bucket-owner"

  bucket_arn = var.bucket_arn
  account_id = var.account_id
}

data "aws_iam_policy_document" "this" {
  statement {
    sid       = "TaskLogs"
    actions   = var.write ? ["s3:GetObject", "s3:PutObject"] : ["s3:GetObject"]
    resources = ["${var.bucket_arn}/logs/${var.environment}/*"]
  }

  # Airflow asks for a log before it writes it, and takes 404 alone for "not there": without the right to list, or with a
  # condition on the prefix, S3 may answer 403 and the log is never uploaded. The bucket is this environment's alone.
  statement {
    sid       = "ListBucket"
    actions   = ["s3:ListBucket"]
    resources = [var.bucket_arn]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "KeyOfTaskLogs"
      actions   = var.write ? ["kms:Decrypt", "kms:GenerateDataKey"] : ["kms:Decrypt"]
      resources = [statement.value]
    }
  }

  override_policy_documents = [module.bucket_owner.json]
}
