# Whose token may take the role: one repository, and in it one branch, or where approval is asked for what only an
# approved job or merge can have. StringEquals takes no wildcard.
locals {
  approval = var.approval_environment

  github = var.github == null ? {} : {
    GitHubActions = {
      provider = var.oidc_provider_arns.github
      # A job that names a GitHub environment has it in its subject instead of the branch, once its reviewers agreed.
      subject = (local.approval == null
        ? "repo:${var.github.repository}:ref:refs/heads/${var.github.branch}"
      : "repo:${var.github.repository}:environment:${local.approval}")
    }
  }

  gitlab = var.gitlab == null ? {} : {
    GitLabCI = {
      provider = var.oidc_provider_arns.gitlab
      # GitLab's subject has no environment: the approval is the merge into a protected branch of that name.
      subject = "project_path:${var.gitlab.project}:ref_type:branch:ref:${coalesce(local.approval, var.gitlab.branch)}"
    }
  }
}

data "aws_iam_policy_document" "trust" {
  dynamic "statement" {
    for_each = merge(local.github, local.gitlab)

    content {
      sid     = statement.key
      actions = ["sts:AssumeRoleWithWebIdentity"]

      principals {
        type        = "Federated"
        identifiers = [statement.value.provider]
      }

      condition {
        test     = "StringEquals"
        variable = "${split("oidc-provider/", statement.value.provider)[1]}:sub"
        values   = [statement.value.subject]
      }

      condition {
        test     = "StringEquals"
        variable = "${split("oidc-provider/", statement.value.provider)[1]}:aud"
        values   = ["sts.amazonaws.com"]
      }
    }
  }

  dynamic "statement" {
    for_each = length(var.principals) == 0 ? [] : [var.principals]

    content {
      sid     = "NamedPublishers"
      actions = ["sts:AssumeRole"]

      principals {
        type        = "AWS"
        identifiers = statement.value
      }
    }
  }
}
