region = "eu-central-1"

# A line for each package, for example
#   sales = { publishers = ["arn:aws:iam::<account>:role/sales-ci"] }
packages = {}
