variable "name" {
  description = "Name of the bucket of states."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the states. Null: S3's own keys (SSE-S3)."
  type        = string
  default     = null
}
