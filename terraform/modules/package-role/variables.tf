variable "environment" {
  description = "Environment the package is published to."
  type        = string
}

variable "package" {
  description = "Name of the package, also the name of its Python package."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(_[a-z0-9]+)*$", var.package)) && length(var.package) >= 2 && length(var.package) <= 40
    error_message = "\"${var.package}\" is no package name: use 2 to 40 lower-case letters, digits and single underscores, a letter first."
  }

  validation {
    condition     = length("airflow-${var.environment}-publish-${var.package}") <= 64
    error_message = "The role name airflow-${var.environment}-publish-${var.package} has more than the 64 characters IAM takes: choose a shorter package name."
  }
}

variable "bucket_arn" {
  description = "ARN of the bucket of DAGs."
  type        = string
}

variable "publishers" {
  description = "ARNs of the users and roles that may take the role, the package's CI for one."
  type        = list(string)

  validation {
    condition     = length(var.publishers) > 0
    error_message = "Package ${var.package} names no publisher: list the ARN of at least one user or role that publishes it."
  }

  validation {
    condition = alltrue([
      for arn in var.publishers : can(regex("^arn:aws[a-z-]*:(iam::[0-9]{12}:(root|(user|role)/[^*?]+)|sts::[0-9]{12}:assumed-role/[^*?]+)$", arn))
    ])
    error_message = "Publishers of package ${var.package} must be ARNs of users, roles or an account, without wildcards; got ${join(", ", var.publishers)}."
  }
}
