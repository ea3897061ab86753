variable "name" {
  description = "Name of the bucket."
  type        = string
}

variable "environment" {
  description = "Environment whose packages are delivered from the bucket; the first part of its keys."
  type        = string
}

variable "noncurrent_days" {
  description = "Days after which a version that is no longer current may expire; rollback reaches back this far. Null: nothing expires."
  type        = number
  default     = 365

  validation {
    condition     = var.noncurrent_days == null ? true : var.noncurrent_days >= 30
    error_message = "noncurrent_days is ${coalesce(var.noncurrent_days, "null")}: rollback needs old versions for at least 30 days; set 30 or more."
  }
}

variable "newer_noncurrent_versions" {
  description = "So many noncurrent versions of a key are kept whatever their age."
  type        = number
  default     = 20

  validation {
    condition     = var.newer_noncurrent_versions >= 20 && var.newer_noncurrent_versions <= 100
    error_message = "newer_noncurrent_versions is ${var.newer_noncurrent_versions}: a package that is seldom published needs at least 20 to roll back to, and S3 takes at most 100; set 20 to 100."
  }
}

variable "tls_only" {
  description = "Refuse requests without TLS. Off only for a fake AWS, which ignores the condition and would refuse everything."
  type        = bool
  default     = true
}
