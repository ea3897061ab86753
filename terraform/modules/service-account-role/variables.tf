variable "name" {
  description = "Name of the role."
  type        = string

  validation {
    condition     = length(var.name) <= 64
    error_message = "The role name ${var.name} has more than the 64 characters that IAM takes: choose a shorter environment or package name."
  }
}

variable "description" {
  description = "What the role is for."
  type        = string
}

variable "service_accounts" {
  description = "Service accounts of one namespace whose pods have the role."
  type = object({
    namespace = string
    names     = list(string)
  })

  validation {
    condition     = length(var.service_accounts.names) > 0 && alltrue([for part in concat([var.service_accounts.namespace], var.service_accounts.names) : can(regex("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", part))])
    error_message = "service_accounts are ${jsonencode(var.service_accounts.names)} in ${jsonencode(var.service_accounts.namespace)}: give a namespace and at least one name, each of lower-case letters, digits and hyphens, without wildcards."
  }
}

variable "cluster" {
  description = "EKS cluster of the service account, and how its pods show who they are: by IRSA (irsa, which needs the ARN of the cluster's OIDC provider) or by EKS Pod Identity (pod_identity, which needs the ARN of the cluster). Null: no pod has the role."
  type = object({
    name              = string
    arn               = string
    identity          = string
    oidc_provider_arn = optional(string)
  })
  default = null

  validation {
    condition     = var.cluster == null ? true : contains(["irsa", "pod_identity"], var.cluster.identity)
    error_message = "cluster.identity is ${jsonencode(try(var.cluster.identity, null))}: use irsa or pod_identity."
  }

  validation {
    condition     = try(var.cluster.identity, null) == "irsa" ? can(regex(":oidc-provider/.+", var.cluster.oidc_provider_arn)) : true
    error_message = "cluster.identity is irsa and cluster.oidc_provider_arn is ${coalesce(try(var.cluster.oidc_provider_arn, null), "missing")}: give the ARN of the cluster's OIDC provider."
  }
}

variable "principals" {
  description = "ARNs of users and roles that may take the role too."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.principals : can(regex("^${local.principal_pattern}$", arn))])
    error_message = "principals must be ARNs of users, roles or an account, without wildcards; got ${join(", ", var.principals)}."
  }
}

variable "policies" {
  description = "Inline policies of the role by name, as JSON."
  type        = map(string)
  default     = {}
}

variable "managed_policy_arns" {
  description = "ARNs of managed policies to attach, by any name."
  type        = map(string)
  default     = {}
}
