locals {
  files     = "${var.environment}/${var.package}/dags/*"
  manifests = "manifests/${var.environment}/${var.package}/*"
  pointer   = "pointers/${var.environment}/${var.package}.json"
  places    = [local.files, local.manifests, local.pointer]
}

module "bucket_owner" {
  source = "../bucket-owner"

  bucket_arn = var.bucket_arn
  account_id = var.account_id
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

  # With a bucket key the key's conditions see the bucket, not the object: S3's own rights above keep packages apart.
  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "EncryptAndDecrypt"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }

  statement {
    sid       = "SignInToRegistry"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # the action knows no resource; what the token opens is said below
  }

  statement {
    sid = "PullOwnImages"
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:DescribeImages",
      "ecr:GetDownloadUrlForLayer",
    ]
    resources = [var.image_repository.arn]
  }

  dynamic "statement" {
    for_each = var.image_repository.push ? [var.image_repository.arn] : []

    content {
      sid = "PushOwnImages"
      actions = [
        "ecr:CompleteLayerUpload",
        "ecr:InitiateLayerUpload",
        "ecr:PutImage",
        "ecr:UploadLayerPart",
      ]
      resources = [statement.value]
    }
  }

  override_policy_documents = [module.bucket_owner.json]
}

resource "aws_iam_role" "this" {
  name               = "airflow-${var.environment}-publish-${var.package}"
  description        = "Publishes DAG package ${var.package} to ${var.environment}"
  assume_role_policy = module.trust.json
}

resource "aws_iam_role_policy" "this" {
  name   = "publish"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.publish.json
}
