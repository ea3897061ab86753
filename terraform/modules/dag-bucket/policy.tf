# What the bucket refuses to everybody, whatever their role allows.
data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "RefuseWithoutTLS"
    effect    = "Deny"
    actions   = ["s3:*"] # a refusal: the wider the better
    resources = [local.arn, "${local.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"] # a refusal: of everybody
    }

    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }

  # Without the header S3 takes the bucket's own encryption, which is right. With KMS the header alone is not enough:
  # without a key beside it S3 takes AWS's own key, which nobody here may use.
  statement {
    sid       = "RefuseWrongEncryption"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = ["${local.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"] # a refusal: of everybody
    }

    condition {
      test     = "Null"
      variable = "s3:x-amz-server-side-encryption"
      values   = ["false"]
    }

    condition {
      test     = "StringNotEquals"
      variable = var.kms_key_arn == null ? "s3:x-amz-server-side-encryption" : "s3:x-amz-server-side-encryption-aws-kms-key-id"
      values   = [coalesce(var.kms_key_arn, "AES256")]
    }
  }

  statement {
    sid       = "RefuseCustomerKeys"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = ["${local.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"] # a refusal: of everybody
    }

    condition {
      test     = "Null"
      variable = "s3:x-amz-server-side-encryption-customer-algorithm"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = data.aws_iam_policy_document.bucket.json

  # S3 refuses two changes of a bucket's access at the same time (OperationAborted).
  depends_on = [aws_s3_bucket_public_access_block.this]
}
