variable "bucket" {
  description = "Name of the bucket, as the resource says it once it is made."
  type        = string
}

variable "arn" {
  description = "ARN of the bucket, known before it is made, so that its policy can be read in a plan."
  type        = string
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the objects, with a bucket key. Null: S3's own keys (SSE-S3)."
  type        = string
  default     = null
}

variable "refusals" {
  description = "Policy documents of what the bucket refuses beside calls without TLS."
  type        = list(string)
  default     = []
}
