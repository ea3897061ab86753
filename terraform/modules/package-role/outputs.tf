output "arn" {
  description = "ARN of the role that publishes the package."
  value       = aws_iam_role.this.arn
}
