data "aws_iam_policy_document" "reader_trust" {
  statement {
    sid     = "NamedReaders"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = coalescelist(var.readers, [data.aws_caller_identity.current.account_id])
    }
  }
}

resource "aws_iam_role" "dag_sync" {
  name               = "airflow-${var.environment}-dag-sync"
  description        = "Delivers the DAG packages of ${var.environment} to Airflow"
  assume_role_policy = data.aws_iam_policy_document.reader_trust.json
}

resource "aws_iam_role_policy_attachment" "dag_sync_read" {
  role       = aws_iam_role.dag_sync.name
  policy_arn = module.dag_read.policy_arn
}

resource "aws_iam_role" "dag_adopter" {
  name               = "airflow-${var.environment}-dag-adopter"
  description        = "Makes edits by hand in ${var.environment} versions of their package"
  assume_role_policy = data.aws_iam_policy_document.reader_trust.json
}

resource "aws_iam_role_policy_attachment" "dag_adopter_read" {
  role       = aws_iam_role.dag_adopter.name
  policy_arn = module.dag_read.policy_arn
}

data "aws_iam_policy_document" "adopt" {
  statement {
    sid     = "WriteVersions"
    actions = ["s3:PutObject"]
    resources = [
      "${module.dag_bucket.arn}/manifests/${var.environment}/*",
      "${module.dag_bucket.arn}/pointers/${var.environment}/*",
    ]
  }
}

resource "aws_iam_role_policy" "dag_adopter" {
  name   = "adopt"
  role   = aws_iam_role.dag_adopter.id
  policy = data.aws_iam_policy_document.adopt.json
}
