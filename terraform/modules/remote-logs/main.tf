data "aws_iam_policy_document" "this" {
  statement {
    sid       = "TaskLogs"
    actions   = var.write ? ["s3:GetObject", "s3:PutObject"] : ["s3:GetObject"]
    resources = ["${var.bucket_arn}/logs/${var.environment}/*"]
  }

  statement {
    sid       = "ListTaskLogs"
    actions   = ["s3:ListBucket"]
    resources = [var.bucket_arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["logs/${var.environment}/*"]
    }
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "KeyOfTaskLogs"
      actions   = var.write ? ["kms:Decrypt", "kms:GenerateDataKey"] : ["kms:Decrypt"]
      resources = [statement.value]
    }
  }
}
