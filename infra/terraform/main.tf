# One environment of Nova: the bucket of the backups, the roles of the programs, the log
# groups and the alarms. Apply it once for each environment, with a state of its own.

terraform {
  required_version = ">= 1.7"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.40"
    }
  }
}

variable "environment" {
  description = "Name of the environment: the prefix of all names, and of the backups in the bucket."
  type        = string
}

variable "bucket" {
  description = "Name of the bucket of the backups."
  type        = string
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

variable "writers" {
  description = "Service accounts (namespace/name, wildcards allowed) that write backups."
  type        = list(string)
  default     = []
}

variable "services" {
  description = "Services whose P0 indicators are watched."
  type        = set(object({ namespace = string, service = string }))
  default     = []
}

variable "databases" {
  description = "Databases whose backups are watched."
  type        = set(string)
  default     = []
}

module "backups" {
  source = "./modules/backups"
  bucket = var.bucket
}

module "roles" {
  source            = "./modules/roles"
  prefix            = "nova-${var.environment}-"
  bucket            = module.backups.bucket
  bucket_prefix     = var.environment
  kms_key_arn       = module.backups.kms_key_arn
  oidc_provider_arn = var.oidc_provider_arn
  oidc_issuer       = var.oidc_issuer
  service_accounts  = { writer = var.writers }
}

module "logs" {
  source   = "./modules/logs"
  services = var.services
}

module "alarms" {
  source    = "./modules/alarms"
  prefix    = "${var.environment}-"
  services  = var.services
  databases = var.databases
}

output "roles" {
  description = "ARNs of the roles, for eks.amazonaws.com/role-arn in the overlays."
  value       = module.roles.arns
}

output "topics" {
  description = "ARNs of the topics, by severity."
  value       = module.alarms.topics
}
