variable "package" {
  description = "Name of the package, also the name of its Python package."
  type        = string

  validation {
    condition     = can(regex("^${local.package_pattern}$", var.package)) && length(var.package) >= local.package_min_length && length(var.package) <= local.package_max_length
    error_message = "\"${var.package}\" is no package name: use ${local.package_min_length} to ${local.package_max_length} lower-case letters, digits and single underscores, a letter first."
  }

  validation {
    condition     = length(var.package) > local.package_max_length || length("airflow-${var.environment}-publish-${var.package}") <= 64
    error_message = "The role name airflow-${var.environment}-publish-${var.package} has more than the 64 characters that IAM takes: choose a shorter environment or package name."
  }
}

variable "bucket_arn" {
  description = "ARN of the bucket of DAGs."
  type        = string
}

variable "account_id" {
  description = "AWS account that the bucket is in; in another one the role may do nothing with a bucket of this name."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the bucket's KMS key. Null: it has none."
  type        = string
  default     = null
}

variable "image_repository" {
  description = "ARN of the package's image repository, and whether this role pushes to it; one environment does, the others pull what it pushed."
  type = object({
    arn  = string
    push = optional(bool, false)
  })
}

variable "oidc_provider_arns" {
  description = "ARNs of the account's OIDC providers of GitHub Actions and of GitLab."
  type = object({
    github = string
    gitlab = string
  })
}

variable "github" {
  description = "GitHub repository that publishes, as owner/name, and its branch."
  type = object({
    repository = string
    branch     = optional(string, "main")
  })
  default = null

  validation {
    condition     = var.github == null ? true : can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github.repository))
    error_message = "Package ${var.package}: github.repository is ${jsonencode(try(var.github.repository, null))}; give one repository as owner/name, without wildcards."
  }

  validation {
    condition     = var.github == null ? true : can(regex("^[A-Za-z0-9._/-]+$", var.github.branch))
    error_message = "Package ${var.package}: github.branch is ${jsonencode(try(var.github.branch, null))}; name one branch, without wildcards."
  }
}

variable "gitlab" {
  description = "GitLab project that publishes, by its path with all groups, and its branch."
  type = object({
    project = string
    branch  = optional(string, "main")
  })
  default = null

  validation {
    condition     = var.gitlab == null ? true : can(regex("^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)+$", var.gitlab.project))
    error_message = "Package ${var.package}: gitlab.project is ${jsonencode(try(var.gitlab.project, null))}; give one project as group/name, without wildcards."
  }

  validation {
    condition     = var.gitlab == null ? true : can(regex("^[A-Za-z0-9._/-]+$", var.gitlab.branch))
    error_message = "Package ${var.package}: gitlab.branch is ${jsonencode(try(var.gitlab.branch, null))}; name one branch, without wildcards."
  }

  validation {
    condition     = var.gitlab == null || var.approval_environment == null ? true : var.gitlab.branch != var.approval_environment
    error_message = "Package ${var.package}: gitlab.branch is ${jsonencode(try(var.gitlab.branch, null))}, the name of the approval environment, so that nothing would be approved: publish from another branch."
  }
}

variable "approval_environment" {
  description = "What stands for an approval: the GitHub environment whose reviewers agree, or the protected branch of GitLab of the same name. Null: the package's own branch is enough."
  type        = string
  default     = null

  validation {
    condition     = var.approval_environment == null ? true : can(regex("^[A-Za-z0-9._-]+$", var.approval_environment))
    error_message = "approval_environment is ${jsonencode(var.approval_environment)}: name one environment, without wildcards."
  }
}

variable "principals" {
  description = "ARNs of users and roles that may take the role, for who publishes without GitHub or GitLab; who approves is then theirs to say."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.principals) > 0 || var.github != null || var.gitlab != null
    error_message = "Nobody publishes package ${var.package} to ${var.environment}: give it github, gitlab, or publishers with the ARN of a user or role, or take ${var.environment} out of its environments."
  }

  validation {
    condition     = alltrue([for arn in var.principals : can(regex("^${local.principal_pattern}$", arn))])
    error_message = "Publishers of package ${var.package} must be ARNs of users, roles or an account, without wildcards; got ${join(", ", var.principals)}."
  }
}
