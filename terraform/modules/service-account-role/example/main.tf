provider "aws" {
  region = "eu-central-1"
}

module "dag_read" {
  source = "../../dag-read"

  environment = "dev"
  bucket_arn  = "arn:aws:s3:::airflow-dags-dev-123456789012"
  account_id  = "123456789012"
}

module "role" {
  source = "../"

  name             = "airflow-dev-dag-processor"
  description      = "Airflow's dag-processor in dev"
  service_accounts = { namespace = "airflow", names = ["airflow-dag-processor"] }
  policies         = { dag-read = module.dag_read.json }

  cluster = {
    name              = "main"
    arn               = "arn:aws:eks:eu-central-1:123456789012:cluster/main"
    identity          = "irsa"
    oidc_provider_arn = "arn:aws:iam::123456789012:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLE"
  }
}
