# What the bucket refuses to everybody beside calls without TLS, whatever their role allows.
data "aws_iam_policy_document" "encryption" {
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
