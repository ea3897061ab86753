locals {
  marker = "${var.bucket_arn}/pointers/${var.environment}/_environment.json"
  files  = "${var.bucket_arn}/${var.environment}/*/dags/*"
}

module "trust" {
  source = "../role-trust"

  principals = { NamedPeople = var.principals }
}

module "bucket_owner" {
  source = "../bucket-owner"

  bucket_arn = var.bucket_arn
  account_id = var.account_id
}

data "aws_iam_policy_document" "operate" {
  statement {
    sid     = "ReadEnvironment"
    actions = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = [
      "${var.bucket_arn}/${var.environment}/*",
      "${var.bucket_arn}/logs/${var.environment}/*",
      "${var.bucket_arn}/manifests/${var.environment}/*",
      "${var.bucket_arn}/pointers/${var.environment}/*",
    ]
  }

  statement {
    sid       = "ListEnvironment"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions"]
    resources = [var.bucket_arn]
  }

  statement {
    sid       = "SeeThatVersioningIsOn"
    actions   = ["s3:GetBucketVersioning"]
    resources = [var.bucket_arn]
  }

  # copy-object of an old version, and every command of airflow-dag-publisher.
  statement {
    sid     = "RestoreAndPublish"
    actions = ["s3:PutObject"]
    resources = [
      local.files,
      "${var.bucket_arn}/manifests/${var.environment}/*",
      "${var.bucket_arn}/pointers/${var.environment}/*.json",
    ]
  }

  # S3 has one right for removing a delete marker and for deleting a version: who may do the one may do the other.
  statement {
    sid       = "DeleteFilesAndDeleteMarkers"
    actions   = ["s3:DeleteObject", "s3:DeleteObjectVersion"]
    resources = [local.files]
  }

  # Terraform's own: without it every dag-sync of the environment stops.
  statement {
    sid       = "LeaveTheMarkerAlone"
    effect    = "Deny"
    actions   = ["s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion"]
    resources = [local.marker]
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "EncryptAndDecrypt"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }

  statement {
    sid       = "SeeImages"
    actions   = ["ecr:DescribeImages", "ecr:DescribeRepositories"]
    resources = [var.image_repositories_arn]
  }

  statement {
    sid       = "ReadLogGroups"
    actions   = ["logs:DescribeLogStreams", "logs:FilterLogEvents", "logs:GetLogEvents"]
    resources = [var.log_groups_arn] # ends with *, which takes the streams in
  }

  override_policy_documents = [module.bucket_owner.json]
}

resource "aws_iam_role" "this" {
  name               = "airflow-${var.environment}-operator"
  description        = "Operates the DAG packages of ${var.environment}"
  assume_role_policy = module.trust.json
}

resource "aws_iam_role_policy" "this" {
  name   = "operate"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.operate.json
}
