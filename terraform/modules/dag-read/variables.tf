variable "bucket_arn" {
  description = "ARN of the bucket of DAGs."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the bucket's KMS key. Null: it has none."
  type        = string
  default     = null
}
