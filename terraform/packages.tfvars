# The packages, each one entry: read by the account (image repositories) and by every environment (roles, log groups).
#
#   sales = {
#     github = { repository = "acme/sales-dags" }          # publishes from main; to prod from an approved job
#   }
#   finance = {
#     gitlab       = { project = "acme/data/finance" }     # to prod from the protected branch production
#     environments = ["dev", "prod"]                       # all of them, when left out
#     job_policies = { lake = "arn:aws:iam::123456789012:policy/lake-read" }
#   }
#   hr = {
#     publishers   = { dev = ["arn:aws:iam::123456789012:role/hr-ci"] }   # CI that is neither GitHub's nor GitLab's
#     environments = ["dev"]
#   }
packages = {}
