terraform {
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # One state per environment, in the account's bucket of states: manage.sh gives bucket, key and region at init.
  backend "s3" {
    use_lockfile = true
  }
}
