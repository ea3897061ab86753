locals {
  # Secrets Manager adds six characters to the name in the ARN, so the end stays open.
  resources = [for prefix in var.prefixes : "${var.secrets_arn}:${prefix}/*"]
}

data "aws_iam_policy_document" "this" {
  statement {
    sid       = "ReadSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = local.resources
  }

  dynamic "statement" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      sid       = "KeyOfSecrets"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
    }
  }
}
