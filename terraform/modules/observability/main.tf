# Made here so that retention is said once; whatever ships logs (Fluent Bit, the CloudWatch agent) writes into them.
resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_338:a year of logs is not everybody's need; retention_days says how long
  for_each = toset(concat(["scheduler", "dag-sync"], [for package in var.packages : "jobs/${package}"]))

  name              = "/airflow/${var.environment}/${each.key}"
  retention_in_days = var.retention_days
  kms_key_id        = var.kms_key_arn
}
