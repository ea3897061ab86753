variable "environment" {
  description = "Environment whose packages may be read."
  type        = string
}

variable "bucket_arn" {
  description = "ARN of the bucket of DAGs."
  type        = string
}
