provider "aws" {
  region = "eu-central-1"
}

module "github" {
  source = "../"

  url = "https://token.actions.githubusercontent.com"
}
