output "name" {
  description = "Name of the bucket."
  value       = aws_s3_bucket.this.id
}

output "arn" {
  description = "ARN of the bucket, known before the bucket exists."
  value       = local.arn
}

output "marker_key" {
  description = "Key of the environment marker."
  value       = aws_s3_object.environment_marker.key
}
