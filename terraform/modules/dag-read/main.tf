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

  statement {
    sid       = "ListPointers"
    actions   = ["s3:ListBucket"]
    resources = [var.bucket_arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["pointers/${var.environment}/*"]
    }
  }
}

resource "aws_iam_policy" "this" {
  name        = "airflow-${var.environment}-dag-read"
  description = "Reads the DAG packages of ${var.environment}"
  policy      = data.aws_iam_policy_document.this.json
}
