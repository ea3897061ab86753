locals {
  files     = "${var.environment}/${var.package}/dags/*"
  manifests = "manifests/${var.environment}/${var.package}/*"
  pointer   = "pointers/${var.environment}/${var.package}.json"
  places    = [local.files, local.manifests, local.pointer]
}

data "aws_iam_policy_document" "trust" {
  statement {
    sid     = "NamedPublishers"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = var.publishers
    }
  }
}

data "aws_iam_policy_document" "publish" {
  statement {
    sid       = "WriteAndReadOwnPlaces"
    actions   = ["s3:PutObject", "s3:GetObject", "s3:GetObjectVersion"]
    resources = [for place in local.places : "${var.bucket_arn}/${place}"]
  }

  # Sets a delete marker. Deleting a version (s3:DeleteObjectVersion) would end what rollback needs.
  statement {
    sid       = "DeleteOwnFiles"
    actions   = ["s3:DeleteObject"]
    resources = ["${var.bucket_arn}/${local.files}"]
  }

  statement {
    sid       = "ListOwnPlaces"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions"]
    resources = [var.bucket_arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = local.places
    }
  }

  statement {
    sid       = "SeeThatVersioningIsOn"
    actions   = ["s3:GetBucketVersioning"]
    resources = [var.bucket_arn]
  }
}

resource "aws_iam_role" "this" {
  name               = "airflow-${var.environment}-publish-${var.package}"
  description        = "Publishes DAG package ${var.package} to ${var.environment}"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "this" {
  name   = "publish"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.publish.json
}
