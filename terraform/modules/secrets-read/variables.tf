variable "secrets_arn" {
  description = "Beginning of the ARNs of the account's secrets: arn:<partition>:secretsmanager:<region>:<account>:secret."
  type        = string
}

variable "prefixes" {
  description = "Prefixes of the names of the secrets that may be read, without the slash at their end."
  type        = list(string)

  validation {
    condition     = length(var.prefixes) > 0 && alltrue([for p in var.prefixes : can(regex("^[A-Za-z0-9_+=.@-]+(/[A-Za-z0-9_+=.@-]+)+$", p))])
    error_message = "prefixes are ${jsonencode(var.prefixes)}: name at least one, of two parts or more, like airflow/dev/connections; anything shorter would open every secret of the account."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the secrets. Null: AWS's own."
  type        = string
  default     = null
}
