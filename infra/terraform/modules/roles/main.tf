# IAM roles of Novawire's programs. Each is bound to one service account, by IRSA or by
# Pod Identity, and can reach one prefix, one log group prefix or one metric namespace.

terraform {
  required_version = ">= 1.7"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40"
    }
  }
}

variable "prefix" {
  description = "Prefix of the roles' names."
  type        = string
  default     = "nova-"
}

variable "oidc_provider_arn" {
  description = "ARN of the cluster's OIDC provider, for IRSA. Empty: Pod Identity only."
  type        = string
  default     = ""
}

variable "oidc_issuer" {
  description = "Issuer of the OIDC provider, without https://."
  type        = string
  default     = ""
}

variable "bucket" {
  description = "Bucket of the backups."
  type        = string
}

variable "bucket_prefix" {
  description = "Prefix of the backups, without slashes at the ends, for example \"prod\"."
  type        = string

  validation {
    condition     = var.bucket_prefix != "" && !startswith(var.bucket_prefix, "/") && !endswith(var.bucket_prefix, "/")
    error_message = "bucket_prefix must not be empty and must not begin or end with a slash."
  }
}

variable "kms_key_arn" {
  description = "KMS key of the backups."
  type        = string
}

variable "log_group_prefix" {
  description = "Prefix of the log groups that Fluent Bit writes."
  type        = string
  default     = "/nova/"
}

variable "service_accounts" {
  description = "Service accounts (namespace/name, wildcards allowed) that can use each role."
  type = object({
    writer     = optional(list(string), [])
    pruner     = optional(list(string), [])
    restorer   = optional(list(string), [])
    fluent_bit = optional(list(string), ["novawire-logging/fluent-bit"])
    xray       = optional(list(string), [])
  })
  default = {}
}

variable "writer_prunes" {
  description = "Whether the writer also deletes old backups after a run, as pg-backup run does by default. If false, run `pg-backup prune` with the role pruner."
  type        = bool
  default     = true
}

locals {
  objects = "arn:aws:s3:::${var.bucket}/${var.bucket_prefix}/*"
  list = {
    Effect    = "Allow"
    Action    = ["s3:ListBucket"]
    Resource  = "arn:aws:s3:::${var.bucket}"
    Condition = { StringLike = { "s3:prefix" = ["${var.bucket_prefix}/*"] } }
  }
  read = [
    local.list,
    { Effect = "Allow", Action = ["s3:GetObject"], Resource = local.objects },
    { Effect = "Allow", Action = ["kms:Decrypt"], Resource = var.kms_key_arn },
  ]
  write = [
    { Effect = "Allow", Action = ["s3:PutObject", "s3:AbortMultipartUpload"], Resource = local.objects },
    { Effect = "Allow", Action = ["s3:ListBucketMultipartUploads"], Resource = "arn:aws:s3:::${var.bucket}" },
    { Effect = "Allow", Action = ["kms:GenerateDataKey"], Resource = var.kms_key_arn },
    { Effect = "Allow", Action = ["cloudwatch:PutMetricData"], Resource = "*", Condition = { StringEquals = { "cloudwatch:namespace" = "Nova/Backup" } } },
  ]
  prune = [{ Effect = "Allow", Action = ["s3:DeleteObject"], Resource = local.objects }]

  statements = {
    writer   = concat(local.read, local.write, [for s in local.prune : s if var.writer_prunes])
    pruner   = concat(local.read, local.prune)
    restorer = local.read
    fluent_bit = [{
      Effect   = "Allow"
      Action   = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:PutRetentionPolicy"]
      Resource = "arn:aws:logs:*:*:log-group:${var.log_group_prefix}*"
    }]
    xray = [
      { Effect = "Allow", Action = ["xray:PutTraceSegments", "xray:PutSpans", "xray:PutSpansForIndexing"], Resource = "*" },
    ]
  }
}

resource "aws_iam_role" "this" {
  for_each = local.statements

  name = "${var.prefix}${replace(each.key, "_", "-")}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      var.oidc_provider_arn == "" ? [] : [{
        Effect    = "Allow"
        Action    = ["sts:AssumeRoleWithWebIdentity"]
        Principal = { Federated = var.oidc_provider_arn }
        Condition = {
          StringLike   = { "${var.oidc_issuer}:sub" = [for a in var.service_accounts[each.key] : "system:serviceaccount:${replace(a, "/", ":")}"] }
          StringEquals = { "${var.oidc_issuer}:aud" = ["sts.amazonaws.com"] }
        }
      }],
      [{
        Effect    = "Allow"
        Action    = ["sts:AssumeRole", "sts:TagSession"]
        Principal = { Service = "pods.eks.amazonaws.com" }
      }],
    )
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = local.statements

  name   = each.key
  role   = aws_iam_role.this[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value })
}

output "arns" {
  description = "ARNs of the roles: writer, pruner, restorer, fluent_bit, xray."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}
