provider "aws" {
  region = "eu-central-1"
}

module "role_trust" {
  source = "../"

  tokens = {
    GitHubActions = {
      provider_arn = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
      subjects     = ["repo:acme/dags:ref:refs/heads/main"]
    }
  }
  principals = { NamedPeople = ["arn:aws:iam::123456789012:role/data-engineering"] }
}

output "trust" {
  description = "The policy document."
  value       = module.role_trust.json
}
