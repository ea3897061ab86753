provider "aws" {
  region = "eu-central-1"
}

module "observability" {
  source = "../"

  environment = "dev"
  packages    = ["finance", "sales"]
}
