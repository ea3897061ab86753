# Names of before 0.5: Terraform renames in its state instead of making everything anew.
moved {
  from = aws_iam_role.component["scheduler"]
  to   = module.component_role["scheduler"].aws_iam_role.this
}

moved {
  from = aws_iam_role.component["dag_processor"]
  to   = module.component_role["dag_processor"].aws_iam_role.this
}

moved {
  from = aws_iam_role.component["triggerer"]
  to   = module.component_role["triggerer"].aws_iam_role.this
}

moved {
  from = aws_iam_role.component["worker"]
  to   = module.component_role["worker"].aws_iam_role.this
}

moved {
  from = aws_iam_role.component["api_server"]
  to   = module.component_role["api_server"].aws_iam_role.this
}

moved {
  from = aws_iam_role.component["dag_adopter"]
  to   = module.component_role["dag_adopter"].aws_iam_role.this
}

moved {
  from = module.dag_bucket.aws_s3_bucket_policy.this[0]
  to   = module.dag_bucket.aws_s3_bucket_policy.this
}
