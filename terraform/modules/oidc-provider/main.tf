data "aws_partition" "current" {}

resource "aws_iam_openid_connect_provider" "this" {
  url             = var.url
  client_id_list  = local.token_audiences
  thumbprint_list = var.thumbprints
}
