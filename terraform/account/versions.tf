terraform {
  required_version = ">= 1.10"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # In the bucket of states that this root keeps itself: manage.sh init makes it, the import below takes it over.
  backend "s3" {
    use_lockfile = true
  }
}
