# Log groups of Nova's services, with a retention and a key. The Fluent Bit plugin creates groups
# that do not exist, without a key. There are no metric filters: the plugin's counts of the P0
# indicators become metrics by themselves (Embedded Metric Format), and a filter on the same lines
# would count them twice.

terraform {
  required_version = ">= 1.7"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40"
    }
  }
}

variable "services" {
  description = "Services that log: Kubernetes namespace and service name."
  type        = set(object({ namespace = string, service = string }))
  default     = []
}

variable "prefix" {
  description = "Prefix of the groups' names, as the plugin's log_group begins."
  type        = string
  default     = "/nova/"
}

variable "retention_days" {
  description = "Days for which lines are kept, as the plugin's retention_days."
  type        = number
  default     = 30
}

variable "kms_key_arn" {
  description = "KMS key of the groups, whose policy admits CloudWatch Logs. Null: AWS' own key."
  type        = string
  default     = null
}

resource "aws_cloudwatch_log_group" "service" {
  for_each = { for s in var.services : "${s.namespace}/${s.service}" => s }

  name              = "${var.prefix}${each.key}"
  retention_in_days = var.retention_days
  kms_key_id        = var.kms_key_arn
  skip_destroy      = true # lines outlive the state that made their group
}

output "groups" {
  description = "Names of the groups, by namespace/service."
  value       = { for name, group in aws_cloudwatch_log_group.service : name => group.name }
}
