variable "environment" {
  description = "Name of the environment; manage.sh takes it from the name of the tfvars file."
  type        = string

  validation {
    condition     = can(regex("^${local.environment_pattern}$", var.environment)) && length(var.environment) >= local.environment_min_length && length(var.environment) <= local.environment_max_length && !contains(concat(local.environment_reserved, ["account"]), var.environment)
    error_message = "\"${var.environment}\" is no environment name: use ${local.environment_min_length} to ${local.environment_max_length} lower-case letters, digits and single hyphens, a letter first, and none of ${join(", ", concat(local.environment_reserved, ["account"]))}, which are taken."
  }
}

variable "region" {
  description = "AWS region of everything in the environment."
  type        = string
}

variable "account_id" {
  description = "AWS account of the environment; credentials of another one are refused. Null: whatever account the credentials are of."
  type        = string
  default     = null
}

variable "packages" {
  description = "Packages by name (terraform/packages.tfvars). Each says who publishes it: github, gitlab or publishers."
  type = map(object({
    github           = optional(object({ repository = string, branch = optional(string, "main") })) # owner/name, and the one branch that publishes
    gitlab           = optional(object({ project = string, branch = optional(string, "main") }))    # path with all groups, and the branch
    publishers       = optional(map(list(string)), {})                                              # ARNs by environment, for other CI
    environments     = optional(set(string))                                                        # where the package is; all, when left out
    image_repository = optional(string)                                                             # of a renamed package: the old name, airflow/<old>
    job_policies     = optional(map(string), {})                                                    # ARNs of managed policies for its jobs, by any name
  }))
  default = {}

  validation {
    condition = alltrue([
      for name in keys(var.packages) :
      can(regex("^${local.package_pattern}$", name)) && length(name) >= local.package_min_length && length(name) <= local.package_max_length
    ])
    error_message = "packages has ${join(", ", [
      for name in keys(var.packages) : jsonencode(name)
      if !can(regex("^${local.package_pattern}$", name)) || length(name) < local.package_min_length || length(name) > local.package_max_length
    ])}: name a package with ${local.package_min_length} to ${local.package_max_length} lower-case letters, digits and single underscores, a letter first."
  }

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

  # A typo would put the package nowhere, or leave its publisher out, and nobody would be told.
  validation {
    condition = alltrue([
      for package in var.packages : length(setsubtract(concat(tolist(coalesce(package.environments, [])), keys(package.publishers)), local.known_environments)) == 0
    ])
    error_message = "packages name environments that have no terraform/environments/<name>.tfvars: ${join(", ", setsubtract(flatten([for package in var.packages : concat(tolist(coalesce(package.environments, [])), keys(package.publishers))]), local.known_environments))}; there are ${join(", ", local.known_environments)}."
  }
}

variable "issuers" {
  description = "Hosts that issue the tokens of CI, for a GitHub Enterprise Server or a GitLab of one's own; terraform/account makes their providers."
  type = object({
    github = optional(string, "token.actions.githubusercontent.com") # host alone
    gitlab = optional(string, "gitlab.com")                          # host alone
  })
  default = {}

  validation {
    condition     = alltrue([for host in values(var.issuers) : can(regex("^[a-z0-9.-]+(:[0-9]+)?(/[A-Za-z0-9._/-]*[A-Za-z0-9])?$", host))])
    error_message = "issuers are ${join(", ", values(var.issuers))}: give the hosts alone, like gitlab.example.org, without https:// and without a slash at the end."
  }
}

variable "approval_environment" {
  description = "Name of the GitHub environment, and of the protected branch of GitLab, that a package's CI needs an approval for. Null: its main branch is enough."
  type        = string
  default     = null

  validation {
    condition     = var.approval_environment == null ? true : can(regex("^[A-Za-z0-9._-]+$", var.approval_environment))
    error_message = "approval_environment is ${jsonencode(var.approval_environment)}: name one environment, without wildcards."
  }

  validation {
    condition     = var.environment != "prod" || var.approval_environment != null
    error_message = "prod has no approval_environment, so that every push to a main branch would reach production: name the GitHub environment or protected GitLab branch, like \"production\"."
  }
}

variable "push_images" {
  description = "Whether the packages' roles push images; one environment does (dev), the others pull the same digest."
  type        = bool
  default     = false

  validation {
    condition     = !var.push_images || var.registry.account == null
    error_message = "push_images is true and the images are in account ${coalesce(var.registry.account, "-")}, whose repositories let others pull alone: push from an environment of that account."
  }
}

variable "registry" {
  description = "Where the image repositories are, which terraform/account made."
  type = object({
    account = optional(string) # this one, when left out
    region  = optional(string) # the environment's, when left out
  })
  default = {}
}

variable "cluster" {
  description = "EKS cluster of Airflow, whose service accounts get the roles. Null: no pod has a role, readers have."
  type = object({
    name           = string                       # of the EKS cluster
    identity       = optional(string, "irsa")     # irsa or pod_identity
    issuer         = optional(string)             # of the cluster's tokens, for irsa
    namespace      = optional(string, "airflow")  # of Airflow
    jobs_namespace = optional(string, "etl-jobs") # of job pods
    release        = optional(string, "airflow")  # of the official chart; service accounts begin with it
  })
  default = null

  validation {
    condition     = var.cluster == null ? true : contains(["irsa", "pod_identity"], var.cluster.identity)
    error_message = "cluster.identity is ${jsonencode(try(var.cluster.identity, null))}: use irsa or pod_identity."
  }

  validation {
    condition     = try(var.cluster.identity, null) == "irsa" ? can(regex("^https://[^*?]+[^/*?]$", var.cluster.issuer)) : true
    error_message = "cluster.issuer is ${coalesce(try(var.cluster.issuer, null), "missing")}: give the issuer of ${try(var.cluster.name, "the cluster")} (aws eks describe-cluster --name ${try(var.cluster.name, "NAME")} --query cluster.identity.oidc.issuer), or set identity to pod_identity."
  }
}

variable "readers" {
  description = "ARNs of the users and roles that may take the roles of Airflow's components and of jobs, besides the cluster's service accounts. Without a cluster and empty: the account itself, where IAM decides who may."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.readers : can(regex("^${local.principal_pattern}$", arn))])
    error_message = "readers must be ARNs of users, roles or an account, without wildcards; got ${join(", ", var.readers)}."
  }
}

variable "operators" {
  description = "ARNs of the people's roles that may take the operator's role. Empty: there is none."
  type        = list(string)
  default     = []
}

variable "bucket" {
  description = "The bucket of DAGs, as modules/dag-bucket makes it."
  type = object({
    name                      = optional(string)                                                          # airflow-dags-<environment>-<account>, when left out
    kms_key_arn               = optional(string)                                                          # encrypts with this key instead of S3's own
    noncurrent_days           = optional(number, 365)                                                     # rollback reaches back this far; 0: for ever
    newer_noncurrent_versions = optional(number, 20)                                                      # kept of each key whatever their age
    log_days                  = optional(number, 90)                                                      # task logs; 0: for ever
    access_logs               = optional(object({ bucket = string, prefix = optional(string) }))          # takes S3's access logs
    replication               = optional(object({ bucket_arn = string, kms_key_arn = optional(string) })) # gets a copy of every version
    vpc_endpoint_ids          = optional(list(string), [])                                                # the only way in, but for who is exempted
    exempt_from_vpc_endpoints = optional(list(string), [])                                                # ARNs of users and roles; Terraform's own among them
  })
  default = {}

  validation {
    condition     = var.bucket.name == null ? true : strcontains(var.bucket.name, var.environment)
    error_message = "bucket.name is ${jsonencode(var.bucket.name)}, without the name of environment ${var.environment}: put that into it, or leave bucket.name out."
  }

  # Nobody locks himself out. A session's ARN has the name of its role without the role's path. An empty list is refused
  # by modules/dag-bucket.
  validation {
    condition = length(var.bucket.vpc_endpoint_ids) == 0 || length(var.bucket.exempt_from_vpc_endpoints) == 0 || anytrue([
      for arn in var.bucket.exempt_from_vpc_endpoints :
      arn == data.aws_caller_identity.current.arn ||
      startswith(data.aws_caller_identity.current.arn, "${replace(replace(arn, ":iam:", ":sts:"), "/:role/(.*/)?/", ":assumed-role/")}/")
    ])
    error_message = "bucket.exempt_from_vpc_endpoints lacks the user or role that Terraform runs as here, ${data.aws_caller_identity.current.arn}, which would lock itself out of the bucket: add its ARN."
  }
}

variable "secrets" {
  description = "Secrets Manager."
  type = object({
    backend     = optional(bool, false) # whether Airflow looks connections and variables up there: the layer options/secrets-aws
    kms_key_arn = optional(string)      # key of the secrets, unless it is AWS's own
  })
  default = {}
}

variable "log_groups" {
  description = "CloudWatch's log groups."
  type = object({
    retention_days = optional(number, 90) # that CloudWatch keeps
    kms_key_arn    = optional(string)     # encrypts them, instead of CloudWatch's own
  })
  default = {}
}
