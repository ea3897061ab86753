# For a fake AWS on this machine (make demo); never for AWS itself.
region = "eu-central-1"

# The fake AWS has one administrator, who takes every role.
packages = {
  finance = { publishers = ["arn:aws:iam::123456789012:user/administrator"] }
  sales   = { publishers = ["arn:aws:iam::123456789012:user/administrator"] }
}

readers = ["arn:aws:iam::123456789012:user/administrator"]

# The fake AWS ignores conditions, so that a refusal of requests without TLS would refuse every request.
tls_only = false

# Terraform's provider waits a minute for a lifecycle rule to settle, and what is here ends with the demo.
noncurrent_days = null
