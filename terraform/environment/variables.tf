variable "environment" {
  description = "Name of the environment; manage.sh takes it from the name of the tfvars file."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.environment)) && !contains(["logs", "manifests", "pointers"], var.environment)
    error_message = "\"${var.environment}\" is no environment name: use lower-case letters, digits and single hyphens, a letter first, and none of \"logs\", \"manifests\", \"pointers\", which the bucket uses itself."
  }
}

variable "region" {
  description = "AWS region of everything in the environment."
  type        = string
}

variable "bucket_name" {
  description = "Name of the bucket of DAGs, with the environment in it. Null: airflow-dags-<environment>-<account>."
  type        = string
  default     = null

  validation {
    condition     = var.bucket_name == null ? true : strcontains(var.bucket_name, var.environment)
    error_message = "Bucket ${coalesce(var.bucket_name, "-")} does not carry the name of environment ${var.environment}: put it into bucket_name, or leave bucket_name out."
  }
}

variable "packages" {
  description = "Packages by name, each with the ARNs of the users and roles that may publish it."
  type = map(object({
    publishers = list(string)
  }))
  default = {}

  validation {
    condition = alltrue([
      for pair in setproduct(keys(var.packages), keys(var.packages)) : !startswith(pair[1], "${pair[0]}_")
    ])
    error_message = join(" ", [
      for pair in setproduct(keys(var.packages), keys(var.packages)) :
      "Package \"${pair[1]}\" begins with the name of package \"${pair[0]}\" and an underscore, so that DAG ids could belong to either: rename one of them."
      if startswith(pair[1], "${pair[0]}_")
    ])
  }
}

variable "readers" {
  description = "ARNs of the users and roles that may take the roles of Airflow's components and of dag-adopter. Empty: the account itself, where IAM decides who may."
  type        = list(string)
  default     = []

  validation {
    condition = alltrue([
      for arn in var.readers : can(regex("^arn:aws[a-z-]*:(iam::[0-9]{12}:(root|(user|role)/[^*?]+)|sts::[0-9]{12}:assumed-role/[^*?]+)$", arn))
    ])
    error_message = "readers must be ARNs of users, roles or an account, without wildcards; got ${join(", ", var.readers)}."
  }
}

variable "noncurrent_days" {
  description = "Days after which a version that is no longer current may expire; rollback reaches back this far. Null: nothing expires."
  type        = number
  default     = 365
}

variable "newer_noncurrent_versions" {
  description = "So many noncurrent versions of a key are kept whatever their age."
  type        = number
  default     = 20
}

variable "tls_only" {
  description = "Refuse requests to the bucket without TLS."
  type        = bool
  default     = true

  validation {
    condition     = var.tls_only || var.environment == "demo"
    error_message = "tls_only is false in environment ${var.environment}: only demo, which runs on a fake AWS, may talk to its bucket without TLS; remove the line."
  }
}
