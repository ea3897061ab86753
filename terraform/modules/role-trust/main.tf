data "aws_partition" "current" {}

data "aws_iam_policy_document" "this" {
  # StringEquals takes no wildcard.
  dynamic "statement" {
    for_each = var.tokens

    content {
      sid     = statement.key
      actions = ["sts:AssumeRoleWithWebIdentity"]

      principals {
        type        = "Federated"
        identifiers = [statement.value.provider_arn]
      }

      condition {
        test     = "StringEquals"
        variable = "${split("oidc-provider/", statement.value.provider_arn)[1]}:sub"
        values   = statement.value.subjects
      }

      condition {
        test     = "StringEquals"
        variable = "${split("oidc-provider/", statement.value.provider_arn)[1]}:aud"
        values   = local.token_audiences
      }
    }
  }

  # The association says which pods get the role; the conditions hold even if somebody else associates it.
  dynamic "statement" {
    for_each = var.pods == null ? [] : [var.pods]

    content {
      sid     = "PodIdentity"
      actions = ["sts:AssumeRole", "sts:TagSession"]

      principals {
        type        = "Service"
        identifiers = ["pods.eks.amazonaws.com"]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:RequestTag/eks-cluster-arn"
        values   = [statement.value.cluster_arn]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:RequestTag/kubernetes-namespace"
        values   = [statement.value.namespace]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:RequestTag/kubernetes-service-account"
        values   = statement.value.names
      }
    }
  }

  dynamic "statement" {
    for_each = { for sid, arns in var.principals : sid => arns if length(arns) > 0 }

    content {
      sid     = statement.key
      actions = ["sts:AssumeRole"]

      principals {
        type        = "AWS"
        identifiers = statement.value
      }
    }
  }
}
