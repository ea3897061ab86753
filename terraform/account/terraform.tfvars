# What exists once per AWS account.
region = "eu-central-1"

# account_id = "123456789012"

# Issuers whose tokens roles trust. A provider that the account has already is left out here.
oidc_providers = {
  github = { url = "https://token.actions.githubusercontent.com" }
  gitlab = { url = "https://gitlab.com" }
  # The EKS cluster's, with IRSA: aws eks describe-cluster --name NAME --query cluster.identity.oidc.issuer
  # cluster = { url = "https://oidc.eks.eu-central-1.amazonaws.com/id/…" }
}

# The nodes' role usually may pull from every repository of its own account; another account is named here.
# images = { pullers = ["arn:aws:iam::210987654321:root"] }
