output "log_groups" {
  description = "Names of the log groups."
  value       = [for group in aws_cloudwatch_log_group.this : group.name]
}
