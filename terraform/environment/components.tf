# One role for each of Airflow's components, and only what it needs: pods that parse DAGs run what teams wrote.
locals {
  log_keys = "${module.dag_bucket.arn}/logs/${var.environment}/*"
  components = {
    scheduler     = { dags = true, logs = ["s3:GetObject", "s3:PutObject"] } # runs tasks with LocalExecutor
    dag_processor = { dags = true, logs = [] }
    triggerer     = { dags = false, logs = ["s3:GetObject", "s3:PutObject"] }
    worker        = { dags = true, logs = ["s3:GetObject", "s3:PutObject"] }
    api_server    = { dags = false, logs = ["s3:GetObject"] }
    dag_adopter   = { dags = true, logs = [] }
  }
}

data "aws_iam_policy_document" "component_trust" {
  statement {
    sid     = "NamedReaders"
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = coalescelist(var.readers, [data.aws_caller_identity.current.account_id])
    }
  }
}

resource "aws_iam_role" "component" {
  for_each = local.components

  name               = "airflow-${var.environment}-${replace(each.key, "_", "-")}"
  description        = "Airflow's ${replace(each.key, "_", "-")} in ${var.environment}"
  assume_role_policy = data.aws_iam_policy_document.component_trust.json
}

resource "aws_iam_role_policy_attachment" "component_reads_dags" {
  for_each = { for name, needs in local.components : name => needs if needs.dags }

  role       = aws_iam_role.component[each.key].name
  policy_arn = module.dag_read.policy_arn
}

data "aws_iam_policy_document" "logs" {
  for_each = { for name, needs in local.components : name => needs if length(needs.logs) > 0 }

  statement {
    sid       = "TaskLogs"
    actions   = each.value.logs
    resources = [local.log_keys]
  }
  statement {
    sid       = "ListTaskLogs"
    actions   = ["s3:ListBucket"]
    resources = [module.dag_bucket.arn]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["logs/${var.environment}/*"]
    }
  }
}

resource "aws_iam_role_policy" "logs" {
  for_each = data.aws_iam_policy_document.logs

  name   = "logs"
  role   = aws_iam_role.component[each.key].id
  policy = each.value.json
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

resource "aws_iam_role_policy" "adopt" {
  name   = "adopt"
  role   = aws_iam_role.component["dag_adopter"].id
  policy = data.aws_iam_policy_document.adopt.json
}
