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

# The statements are JSON files, so that the programs' tests check each call that they make.
locals {
  names = {
    bucket           = var.bucket
    bucket_prefix    = var.bucket_prefix
    kms_key_arn      = var.kms_key_arn
    log_group_prefix = var.log_group_prefix
  }
  policies = { for name in ["read", "write", "prune", "logs", "xray"] : name => jsondecode(templatefile("${path.module}/policies/${name}.json", local.names)) }

  statements = {
    writer     = concat(local.policies.read, local.policies.write, [for s in local.policies.prune : s if var.writer_prunes])
    pruner     = concat(local.policies.read, local.policies.prune)
    restorer   = local.policies.read
    fluent_bit = local.policies.logs
    xray       = local.policies.xray
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
