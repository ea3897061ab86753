# The role of service accounts of one namespace of one cluster, or of named principals, or of both.
locals {
  accounts = [for name in var.service_accounts.names : "system:serviceaccount:${var.service_accounts.namespace}:${name}"]
  irsa     = try(var.cluster.identity, null) == "irsa" ? [var.cluster.oidc_provider_arn] : []
  podid    = try(var.cluster.identity, null) == "pod_identity" ? [var.cluster.arn] : []
}

data "aws_iam_policy_document" "trust" {
  dynamic "statement" {
    for_each = local.irsa

    content {
      sid     = "ServiceAccount"
      actions = ["sts:AssumeRoleWithWebIdentity"]

      principals {
        type        = "Federated"
        identifiers = [statement.value]
      }

      condition {
        test     = "StringEquals"
        variable = "${split("oidc-provider/", statement.value)[1]}:sub"
        values   = local.accounts
      }

      condition {
        test     = "StringEquals"
        variable = "${split("oidc-provider/", statement.value)[1]}:aud"
        values   = ["sts.amazonaws.com"]
      }
    }
  }

  # The association below says who gets the role; the conditions hold even if somebody else associates it.
  dynamic "statement" {
    for_each = local.podid

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
        values   = [statement.value]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:RequestTag/kubernetes-namespace"
        values   = [var.service_accounts.namespace]
      }

      condition {
        test     = "StringEquals"
        variable = "aws:RequestTag/kubernetes-service-account"
        values   = var.service_accounts.names
      }
    }
  }

  dynamic "statement" {
    for_each = length(var.principals) == 0 ? [] : [var.principals]

    content {
      sid     = "NamedPrincipals"
      actions = ["sts:AssumeRole"]

      principals {
        type        = "AWS"
        identifiers = statement.value
      }
    }
  }
}

resource "aws_iam_role" "this" {
  name               = var.name
  description        = var.description
  assume_role_policy = data.aws_iam_policy_document.trust.json

  lifecycle {
    precondition {
      condition     = var.cluster != null || length(var.principals) > 0
      error_message = "Nobody could take role ${var.name}: give a cluster, or name principals."
    }
  }
}

resource "aws_iam_role_policy" "this" {
  for_each = var.policies

  name   = each.key
  role   = aws_iam_role.this.id
  policy = each.value
}

resource "aws_iam_role_policy_attachment" "this" {
  for_each = var.managed_policy_arns

  role       = aws_iam_role.this.name
  policy_arn = each.value
}

resource "aws_eks_pod_identity_association" "this" {
  for_each = toset(length(local.podid) == 0 ? [] : var.service_accounts.names)

  cluster_name    = var.cluster.name
  namespace       = var.service_accounts.namespace
  service_account = each.key
  role_arn        = aws_iam_role.this.arn
}
