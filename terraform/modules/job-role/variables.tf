variable "package" {
  description = "Name of the package whose jobs they are; its service account has hyphens where the name has underscores."
  type        = string
}

variable "namespace" {
  description = "Namespace of the jobs."
  type        = string
  default     = "etl-jobs"
}

variable "cluster" {
  description = "EKS cluster of the jobs, as in service-account-role."
  type = object({
    name              = string
    arn               = string
    identity          = string
    oidc_provider_arn = optional(string)
  })
  default = null
}

variable "principals" {
  description = "ARNs of users and roles that may take the role too."
  type        = list(string)
  default     = []
}

variable "secrets" {
  description = "Beginning of the ARNs of the account's secrets, and their KMS key unless it is AWS's own. Jobs read those below airflow/<environment>/jobs/<package>/."
  type = object({
    arn         = string
    kms_key_arn = optional(string)
  })
}

variable "managed_policy_arns" {
  description = "ARNs of managed policies, by any name: what the jobs may do beyond their own secrets."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for arn in values(var.managed_policy_arns) : can(regex("^arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/.+$", arn))])
    error_message = "Policies of the jobs of ${var.package} must be ARNs of managed policies; got ${join(", ", values(var.managed_policy_arns))}."
  }

  validation {
    condition     = !anytrue([for arn in values(var.managed_policy_arns) : endswith(arn, ":iam::aws:policy/AdministratorAccess")])
    error_message = "Jobs of ${var.package} would get AdministratorAccess: whoever publishes a DAG could then do anything in the account; name a policy of what they need."
  }
}
