provider "aws" {
  region = "eu-central-1"
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_144:an example of what closes a bucket, not of one
  #checkov:skip=CKV_AWS_18:an example of what closes a bucket, not of one
  #checkov:skip=CKV2_AWS_61:an example of what closes a bucket, not of one
  #checkov:skip=CKV2_AWS_62:an example of what closes a bucket, not of one
  bucket = "reports-123456789012"
}

module "closed_bucket" {
  source = "../"

  bucket = aws_s3_bucket.this.id
  arn    = "arn:aws:s3:::reports-123456789012"
}

output "bucket" {
  description = "Name of the bucket."
  value       = module.closed_bucket.bucket
}
