output "policy_arn" {
  description = "ARN of the policy, to attach to a reader's role."
  value       = aws_iam_policy.this.arn
}

output "policy_json" {
  description = "The policy document, to build a wider one on."
  value       = data.aws_iam_policy_document.this.json
}
