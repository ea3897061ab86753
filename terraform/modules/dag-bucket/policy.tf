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

# Requests from elsewhere than the endpoints carry no aws:SourceVpce, or another one. Who is exempted keeps the way back:
# without it nobody outside could take this rule away again. S3 replicates as a role of ours, through no endpoint.
data "aws_iam_policy_document" "endpoints" {
  count = length(var.vpc_endpoint_ids) == 0 ? 0 : 1

  statement {
    sid       = "RefuseOutsideOfEndpoints"
    effect    = "Deny"
    actions   = ["s3:*"] # a refusal: the wider the better
    resources = [local.arn, "${local.arn}/*"]

    principals {
      type        = "*"
      identifiers = ["*"] # a refusal: of everybody but the exempted
    }

    condition {
      test     = "StringNotEquals"
      variable = "aws:SourceVpce"
      values   = var.vpc_endpoint_ids
    }

    condition {
      test     = "ArnNotEquals"
      variable = "aws:PrincipalArn"
      values = concat(
        var.exempt_from_vpc_endpoints,
        var.replication == null ? [] : ["arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:role/${local.replication_role}"],
      )
    }
  }
}
