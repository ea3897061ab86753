module "bucket_owner" {
  source = "../bucket-owner"

  bucket_arn = var.bucket_arn
  account_id = var.account_id
}

# What dag-adopter does on top of dag-read: it makes versions of edits by hand, tags what may expire, and changes no file.
data "aws_iam_policy_document" "this" {
  statement {
    sid     = "WriteVersions"
    actions = ["s3:PutObject"]
    resources = [
      "${var.bucket_arn}/manifests/${var.environment}/*",
      "${var.bucket_arn}/pointers/${var.environment}/*",
    ]
  }

  # The bucket's rule deletes by this tag, days later, and never what is current.
  statement {
    sid       = "TagWhatMayExpire"
    actions   = ["s3:GetObjectVersionTagging", "s3:PutObjectVersionTagging"]
    resources = ["${var.bucket_arn}/${var.environment}/*"]
  }

  # Terraform's own: without it every dag-sync of the environment stops.
  statement {
    sid       = "LeaveTheMarkerAlone"
    effect    = "Deny"
    actions   = ["s3:PutObject"]
    resources = ["${var.bucket_arn}/pointers/${var.environment}/_environment.json"]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "Encrypt"
      actions   = ["kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }

  override_policy_documents = [module.bucket_owner.json]
}
