variable "name" {
  description = "Name of the bucket."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$", var.name))
    error_message = "\"${var.name}\" is no bucket name: use 3 to 63 lower-case letters, digits and hyphens."
  }
}

variable "kms_key_arn" {
  description = "ARN of the KMS key that encrypts the objects, with a bucket key. Null: S3's own keys (SSE-S3)."
  type        = string
  default     = null

  validation {
    condition     = var.kms_key_arn == null ? true : can(regex("^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[^*?]+$", var.kms_key_arn))
    error_message = "kms_key_arn is ${jsonencode(var.kms_key_arn)}: give the ARN of a key (arn:<partition>:kms:<region>:<account>:key/<id>), since an alias cannot stand in a policy."
  }
}

variable "noncurrent_days" {
  description = "Days after which a version that is no longer current may expire; rollback reaches back this far. 0: nothing expires."
  type        = number
  default     = 365

  validation {
    condition     = var.noncurrent_days == 0 || var.noncurrent_days >= 30
    error_message = "noncurrent_days is ${var.noncurrent_days}: rollback needs old versions for at least 30 days; set 30 or more, or 0 to keep them for ever."
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

variable "log_days" {
  description = "Days after which a task log in the bucket expires. 0: none does."
  type        = number
  default     = 90

  validation {
    condition     = var.log_days >= 0
    error_message = "log_days is ${var.log_days}: set the days that task logs are kept, or 0 to keep them for ever."
  }
}

variable "access_logs" {
  description = "Bucket that takes S3's access logs, and the prefix in it (null: the name of this bucket). Null: none."
  type = object({
    bucket = string
    prefix = optional(string)
  })
  default = null

  validation {
    condition     = var.access_logs == null ? true : var.access_logs.bucket != var.name
    error_message = "access_logs.bucket is ${var.name} itself: each log would be logged again; name another bucket."
  }
}

variable "replication" {
  description = "Versioned bucket that gets a copy of every version, and the KMS key that the copies are encrypted with, if any. Null: none."
  type = object({
    bucket_arn  = string
    kms_key_arn = optional(string)
  })
  default = null

  validation {
    condition     = var.replication == null ? true : can(regex("^arn:aws[a-z-]*:s3:::[a-z0-9][a-z0-9.-]+$", var.replication.bucket_arn)) && !endswith(var.replication.bucket_arn, ":::${var.name}")
    error_message = "replication.bucket_arn is ${jsonencode(try(var.replication.bucket_arn, null))}: give the ARN of another bucket (arn:<partition>:s3:::<name>)."
  }

  # S3 leaves objects under KMS out of a replication that names no key for the copies.
  validation {
    condition     = var.replication == null || var.kms_key_arn == null ? true : var.replication.kms_key_arn != null
    error_message = "The bucket is encrypted with KMS and replication.kms_key_arn is missing, so S3 would copy nothing: name the key of the copies."
  }
}

variable "vpc_endpoint_ids" {
  description = "VPC endpoints through which alone the bucket is reached, by everybody who is not exempted. Empty: it is reached from anywhere."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.vpc_endpoint_ids : can(regex("^vpce-[0-9a-f]+$", id))])
    error_message = "vpc_endpoint_ids are ${jsonencode(var.vpc_endpoint_ids)}: give the ids of VPC endpoints, like vpce-0123456789abcdef0."
  }
}

variable "exempt_from_vpc_endpoints" {
  description = "ARNs of the users and roles that reach the bucket from anywhere all the same: the role that Terraform runs as, the administrators', and whoever publishes from outside. Needed with vpc_endpoint_ids."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.vpc_endpoint_ids) == 0 || length(var.exempt_from_vpc_endpoints) > 0
    error_message = "vpc_endpoint_ids are set and exempt_from_vpc_endpoints is empty, so that nobody outside of the endpoints could reach the bucket or take the rule away again: name the role that Terraform runs as, and the administrators'."
  }

  validation {
    condition     = length(var.vpc_endpoint_ids) > 0 || length(var.exempt_from_vpc_endpoints) == 0
    error_message = "exempt_from_vpc_endpoints names ${join(", ", var.exempt_from_vpc_endpoints)} and vpc_endpoint_ids is empty, so that there is nothing to be exempted from: name the endpoints, or leave both out."
  }

  # A policy sees the role's own ARN, not the session's, and knows no account as a whole here.
  validation {
    condition     = alltrue([for arn in var.exempt_from_vpc_endpoints : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(user|role)/[^*?]+$", arn))])
    error_message = "exempt_from_vpc_endpoints must be ARNs of users and roles, without wildcards; got ${join(", ", var.exempt_from_vpc_endpoints)}."
  }
}
