module "bucket_owner" {
  source = "../bucket-owner"

  bucket_arn = var.bucket_arn
  account_id = var.account_id
}

data "aws_iam_policy_document" "this" {
  # GetObjectVersion too: files are fetched by the VersionId in the manifest, and GetObject alone does not allow that.
  statement {
    sid     = "ReadEnvironment"
    actions = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = [
      "${var.bucket_arn}/${var.environment}/*",
      "${var.bucket_arn}/manifests/${var.environment}/*",
      "${var.bucket_arn}/pointers/${var.environment}/*",
    ]
  }

  # More than the poll needs: without the right to list, S3 answers 403 instead of 404 for a manifest or a version that is
  # gone, and dag-sync could not tell a lost version, which it steps over, from a refusal, which it waits out. Without a
  # condition on the prefix, which may count as no right there; the bucket has nothing but this environment.
  statement {
    sid       = "ListEnvironment"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions"]
    resources = [var.bucket_arn]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "Decrypt"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
    }
  }

  override_policy_documents = [module.bucket_owner.json]
}
