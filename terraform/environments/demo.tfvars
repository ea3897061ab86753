# For a fake AWS on this machine (make demo); never for AWS itself.
region = "eu-central-1"

# The fake AWS has one administrator, who takes every role.
packages = {
  finance = { publishers = { demo = ["arn:aws:iam::123456789012:user/administrator"] } }
  sales   = { publishers = { demo = ["arn:aws:iam::123456789012:user/administrator"] } }
}

readers = ["arn:aws:iam::123456789012:user/administrator"]

# Terraform's provider waits a minute for a lifecycle rule to settle, and what is here ends with the demo.
bucket = { noncurrent_days = 0, log_days = 0 }
