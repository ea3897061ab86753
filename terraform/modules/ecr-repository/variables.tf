variable "name" {
  description = "Name of the repository."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the images. Null: ECR's own encryption. It cannot be changed later."
  type        = string
  default     = null
}

variable "deployable_tags" {
  description = "Patterns of the tags of images that may be deployed: those that CI builds on the main branch."
  type        = list(string)
  default     = ["main-*"]

  validation {
    condition     = length(var.deployable_tags) > 0 && !contains(var.deployable_tags, "*")
    error_message = "deployable_tags are ${jsonencode(var.deployable_tags)}: name the tags of images that are deployed, like main-*; * would count trial images among them."
  }
}

variable "keep_deployable" {
  description = "So many images with such a tag are kept, newest first; an older one expires even if it runs."
  type        = number
  default     = 1000

  validation {
    condition     = var.keep_deployable >= 100
    error_message = "keep_deployable is ${var.keep_deployable}: what runs in prod may be that many builds old, and would be gone; set 100 or more."
  }
}

variable "trial_days" {
  description = "Days after which every other image expires."
  type        = number
  default     = 14

  validation {
    condition     = var.trial_days >= 1
    error_message = "trial_days is ${var.trial_days}: an image is needed for as long as its merge request is open; set 1 or more."
  }
}

variable "untagged_days" {
  description = "Days after which an image without a tag expires."
  type        = number
  default     = 7

  validation {
    condition     = var.untagged_days >= 1
    error_message = "untagged_days is ${var.untagged_days}: an image is without a tag while it is pushed; set 1 or more."
  }
}

variable "pullers" {
  description = "ARNs of accounts, users and roles that pull from the repository besides those whom IAM allows it: the nodes' role, or the account of another environment."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.pullers : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(root|(user|role)/[^*?]+)$", arn))])
    error_message = "pullers of ${var.name} must be ARNs of users, roles or an account, without wildcards; got ${join(", ", var.pullers)}."
  }
}
