variable "name" {
  description = "Name of the repository."
  type        = string
}

variable "keep_tagged" {
  description = "So many tagged images are kept, newest first."
  type        = number
  default     = 50

  validation {
    condition     = var.keep_tagged >= 1
    error_message = "keep_tagged is ${var.keep_tagged}: a repository that keeps no image is of no use; set 1 or more."
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
