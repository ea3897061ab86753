output "bucket" {
  description = "Name of the bucket, for what must come after it is versioned, encrypted and closed."
  value       = var.bucket

  depends_on = [
    aws_s3_bucket_versioning.this,
    aws_s3_bucket_server_side_encryption_configuration.this,
    aws_s3_bucket_public_access_block.this,
  ]
}
