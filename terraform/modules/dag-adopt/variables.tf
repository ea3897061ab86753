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
