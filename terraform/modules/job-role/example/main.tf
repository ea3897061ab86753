provider "aws" {
  region = "eu-central-1"
}

module "role" {
  source = "../"

  environment = "dev"
  package     = "risk_reports"
  secrets     = { arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret" }

  cluster = {
    name     = "main"
    arn      = "arn:aws:eks:eu-central-1:123456789012:cluster/main"
    identity = "pod_identity"
  }

  managed_policy_arns = { lake = "arn:aws:iam::123456789012:policy/lake-read" }
}
