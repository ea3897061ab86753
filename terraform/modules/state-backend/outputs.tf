output "bucket" {
  description = "Name of the bucket of states."
  value       = aws_s3_bucket.this.id
}
