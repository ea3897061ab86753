variable "region" {
  description = "AWS region of the state bucket and of the image repositories."
  type        = string
}

variable "account_id" {
  description = "AWS account; credentials of another one are refused. Null: whatever account the credentials are of."
  type        = string
  default     = null
}

variable "state_bucket" {
  description = "Name of the bucket of states, which manage.sh init made."
  type        = string
}

variable "state_kms_key_arn" {
  description = "ARN of the KMS key that encrypts the states. Null: S3's own keys (SSE-S3)."
  type        = string
  default     = null
}

variable "packages" {
  description = "Packages by name (terraform/packages.tfvars); here they get an image repository."
  type = map(object({
    image_repository = optional(string) # airflow/<package>, when left out
  }))
  default = {}

  validation {
    condition = alltrue([
      for name in keys(var.packages) :
      can(regex("^${local.package_pattern}$", name)) && length(name) >= local.package_min_length && length(name) <= local.package_max_length
    ])
    error_message = "packages has ${join(", ", [
      for name in keys(var.packages) : jsonencode(name)
      if !can(regex("^${local.package_pattern}$", name)) || length(name) < local.package_min_length || length(name) > local.package_max_length
    ])}: name a package with ${local.package_min_length} to ${local.package_max_length} lower-case letters, digits and single underscores, a letter first."
  }
}

variable "images" {
  description = "The image repositories, as modules/ecr-repository makes them."
  type = object({
    keep_deployable = optional(number, 1000)     # images of the main branch, per package
    trial_days      = optional(number, 14)       # that every other image is kept
    kms_key_arn     = optional(string)           # encrypts them; cannot be changed later
    pullers         = optional(list(string), []) # ARNs that pull besides whom IAM allows it
  })
  default = {}
}

variable "oidc_providers" {
  description = "Issuers of tokens that roles trust, by any name: CI's, and those of EKS clusters with IRSA. An account has each issuer once: leave out what is there already."
  type = map(object({
    url         = string                 # https://token.actions.githubusercontent.com and the like
    thumbprints = optional(list(string)) # for a certificate of a private authority
  }))
  default = {}
}
