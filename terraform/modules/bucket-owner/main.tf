# A role that may write into a bucket may do so wherever that name leads: to a bucket of somebody else, once ours is gone
# or its name is mistyped. Ours is in one account; in any other the same name is refused.
data "aws_iam_policy_document" "this" {
  statement {
    sid       = "RefuseOtherAccounts"
    effect    = "Deny"
    actions   = ["s3:*"] # a refusal: the wider the better
    resources = [var.bucket_arn, "${var.bucket_arn}/*"]

    condition {
      test     = "StringNotEquals"
      variable = "aws:ResourceAccount"
      values   = [var.account_id]
    }
  }
}
