variable "bucket_arn" {
  description = "ARN of the bucket of DAGs."
  type        = string
}

variable "account_id" {
  description = "AWS account that the bucket is in."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id is ${jsonencode(var.account_id)}: give the twelve digits of the account that the bucket is in."
  }
}
