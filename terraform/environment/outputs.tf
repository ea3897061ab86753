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
  description = "ARNs of the roles: by component, and of each package's publisher."
  value = merge(
    { for component, role in aws_iam_role.component : component => role.arn },
    { publishers = { for package, role in module.package_role : package => role.arn } },
  )
}

output "repositories" {
  description = "Address of each package's image repository."
  value       = { for package, repository in module.ecr_repository : package => repository.url }
}
