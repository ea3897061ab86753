resource "aws_ecr_repository" "this" {
  name = var.name

  # A tag names the same image for ever, so that a rollback to a tag is a rollback.
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = true
  }

  dynamic "encryption_configuration" {
    for_each = var.kms_key_arn == null ? [] : [var.kms_key_arn]

    content {
      encryption_type = "KMS"
      kms_key         = encryption_configuration.value
    }
  }
}

# An image belongs to the first rule that its tags fit, and no later one touches it: what may be deployed is counted
# apart, so that no number of trial images pushes it out.
resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Keep the newest of the images that may be deployed"
        selection    = { tagStatus = "tagged", tagPatternList = var.deployable_tags, countType = "imageCountMoreThan", countNumber = var.keep_deployable }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "Expire untagged images"
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = var.untagged_days }
        action       = { type = "expire" }
      },
      {
        rulePriority = 3
        description  = "Expire trial images"
        selection    = { tagStatus = "any", countType = "sinceImagePushed", countUnit = "days", countNumber = var.trial_days }
        action       = { type = "expire" }
      },
    ]
  })
}

data "aws_iam_policy_document" "pull" {
  count = length(var.pullers) == 0 ? 0 : 1

  statement {
    sid = "Pull"
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:GetDownloadUrlForLayer",
    ]

    principals {
      type        = "AWS"
      identifiers = var.pullers
    }
  }
}

resource "aws_ecr_repository_policy" "this" {
  count = length(var.pullers) == 0 ? 0 : 1

  repository = aws_ecr_repository.this.name
  policy     = data.aws_iam_policy_document.pull[0].json
}
