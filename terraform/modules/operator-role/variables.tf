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

variable "image_repositories_arn" {
  description = "ARN of the packages' image repositories, with * for the package."
  type        = string
}

variable "log_groups_arn" {
  description = "ARN of the environment's log groups, with * for the group."
  type        = string
}

variable "principals" {
  description = "ARNs of the users and roles that may take the role, such as the role of a permission set."
  type        = list(string)

  validation {
    condition     = length(var.principals) > 0 && alltrue([for arn in var.principals : can(regex("^${local.principal_pattern}$", arn))])
    error_message = "Operators of ${var.environment} must be ARNs of users, roles or an account, without wildcards; got ${join(", ", var.principals)}."
  }
}
