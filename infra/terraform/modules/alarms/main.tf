# CloudWatch alarms of Nova's services and databases, and the topics that they notify.
# alarms.tf is generated from package monitoring.

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
  description = "Prefix of the alarms' and topics' names, for example \"prod-\"."
  type        = string
  default     = ""
}

variable "services" {
  description = "Services whose P0 indicators are watched: Kubernetes namespace and service name."
  type        = set(object({ namespace = string, service = string }))
  default     = []
}

variable "databases" {
  description = "Names of the databases whose backups are watched."
  type        = set(string)
  default     = []
}

variable "kms_key_id" {
  description = "KMS key of the topics."
  type        = string
  default     = "alias/aws/sns"
}

locals {
  services = { for s in var.services : "${s.namespace}/${s.service}" => s }
}

resource "aws_sns_topic" "critical" {
  name              = "${var.prefix}nova-critical"
  kms_master_key_id = var.kms_key_id
}

resource "aws_sns_topic" "warning" {
  name              = "${var.prefix}nova-warning"
  kms_master_key_id = var.kms_key_id
}

output "topics" {
  description = "ARNs of the topics, by severity. Subscribe your pager to critical."
  value = {
    critical = aws_sns_topic.critical.arn
    warning  = aws_sns_topic.warning.arn
  }
}
