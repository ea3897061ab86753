# Whose token may take the role: one repository, and in it one branch, or where approval is asked for what only an
# approved job or merge can have.
locals {
  approval = var.approval_environment

  github = var.github == null ? {} : {
    GitHubActions = {
      provider_arn = var.oidc_provider_arns.github
      # A job that names a GitHub environment has it in its subject instead of the branch, once its reviewers agreed.
      subjects = [local.approval == null
        ? "repo:${var.github.repository}:ref:refs/heads/${var.github.branch}"
      : "repo:${var.github.repository}:environment:${local.approval}"]
    }
  }

  gitlab = var.gitlab == null ? {} : {
    GitLabCI = {
      provider_arn = var.oidc_provider_arns.gitlab
      # GitLab's subject has no environment: the approval is the merge into a protected branch of that name.
      subjects = ["project_path:${var.gitlab.project}:ref_type:branch:ref:${coalesce(local.approval, var.gitlab.branch)}"]
    }
  }
}

module "trust" {
  source = "../role-trust"

  tokens     = merge(local.github, local.gitlab)
  principals = { NamedPublishers = var.principals }
}
