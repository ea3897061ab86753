output "environment" {
  description = "Name of the environment: the first part of every key."
  value       = var.environment
}

output "bucket" {
  description = "Name of the bucket of DAGs."
  value       = module.dag_bucket.name
}

output "region" {
  description = "AWS region of the environment."
  value       = var.region
}

output "roles" {
  description = "ARNs of the roles: by component, of the operators, and of each package's publisher and jobs."
  value = merge(
    { for component, role in module.component_role : component => role.arn },
    {
      operator   = one(module.operator_role[*].arn)
      publishers = { for package, role in module.package_role : package => role.arn }
      jobs       = { for package, role in module.job_role : package => role.arn }
    },
  )
}

output "repositories" {
  description = "Address of each package's image repository."
  value       = { for name, repository in local.repositories : name => "${local.registry.account}.dkr.ecr.${local.registry.region}.${data.aws_partition.current.dns_suffix}/${repository}" }
}
