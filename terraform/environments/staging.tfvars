region = "eu-central-1"

# account_id = "123456789012"

# Airflow's EKS cluster: with it, its service accounts have the roles.
# cluster = { name = "NAME", issuer = "https://oidc.eks.eu-central-1.amazonaws.com/id/…" }   # IRSA
# cluster = { name = "NAME", identity = "pod_identity" }                                     # EKS Pod Identity

# Who may take the operator's role: people's roles, such as that of a permission set.
# operators = ["arn:aws:iam::123456789012:role/…"]
