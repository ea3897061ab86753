output "state_bucket" {
  description = "Name of the bucket of states."
  value       = module.state_backend.bucket
}

output "oidc_providers" {
  description = "ARNs of the OIDC providers."
  value       = { for name, provider in module.oidc_provider : name => provider.arn }
}

output "repositories" {
  description = "Address of each package's image repository."
  value       = { for package, repository in module.ecr_repository : package => repository.url }
}
