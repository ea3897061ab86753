# The role of service accounts of one namespace of one cluster, or of named principals, or of both.
locals {
  accounts = [for name in var.service_accounts.names : "system:serviceaccount:${var.service_accounts.namespace}:${name}"]
  identity = try(var.cluster.identity, null)
}

module "trust" {
  source = "../role-trust"

  tokens     = local.identity == "irsa" ? { ServiceAccount = { provider_arn = var.cluster.oidc_provider_arn, subjects = local.accounts } } : {}
  pods       = local.identity == "pod_identity" ? merge(var.service_accounts, { cluster_arn = var.cluster.arn }) : null
  principals = { NamedPrincipals = var.principals }
}

resource "aws_iam_role" "this" {
  name               = var.name
  description        = var.description
  assume_role_policy = module.trust.json

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
  for_each = toset(local.identity == "pod_identity" ? var.service_accounts.names : [])

  cluster_name    = var.cluster.name
  namespace       = var.service_accounts.namespace
  service_account = each.key
  role_arn        = aws_iam_role.this.arn
}
