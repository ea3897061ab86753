variable "tokens" {
  description = "Whose tokens may take the role: by the statement's name, the ARN of the OIDC provider and the subjects, without wildcards."
  type = map(object({
    provider_arn = string
    subjects     = list(string)
  }))
  default = {}
}

variable "pods" {
  description = "Service accounts whose pods may take the role by EKS Pod Identity, and the ARN of their cluster. Null: none."
  type = object({
    cluster_arn = string
    namespace   = string
    names       = list(string)
  })
  default = null
}

variable "principals" {
  description = "ARNs of users and roles that may take the role, by the statement's name."
  type        = map(list(string))
  default     = {}
}
