mock_provider "aws" {}

variables {
  bucket            = "nova-backups"
  bucket_prefix     = "prod"
  kms_key_arn       = "arn:aws:kms:eu-central-1:111122223333:key/1"
  oidc_provider_arn = "arn:aws:iam::111122223333:oidc-provider/oidc.example"
  oidc_issuer       = "oidc.example"
  service_accounts  = { writer = ["nova/auth-db-backup"] }
}

run "a_restorer_only_reads" {
  assert {
    condition     = toset(flatten([for s in jsondecode(aws_iam_role_policy.this["restorer"].policy).Statement : s.Action])) == toset(["s3:ListBucket", "s3:GetObject", "kms:Decrypt"])
    error_message = "the restorer has other rights than to read"
  }
}

run "objects_are_confined_to_the_prefix" {
  assert {
    condition = alltrue(flatten([for p in aws_iam_role_policy.this : [
      for s in jsondecode(p.policy).Statement : startswith(s.Resource, "arn:aws:s3:::nova-backups/prod/") if anytrue([for a in flatten([s.Action]) : strcontains(a, "Object") || a == "s3:AbortMultipartUpload"])
    ]]))
    error_message = "a right on objects reaches beyond the prefix"
  }
}

run "no_policy_has_a_wildcard_action" {
  assert {
    condition = !anytrue(flatten([for p in aws_iam_role_policy.this : [
      for s in jsondecode(p.policy).Statement : [for a in flatten([s.Action]) : strcontains(a, "*")]
    ]]))
    error_message = "an action has a wildcard"
  }
}

run "a_writer_without_prune_cannot_delete" {
  variables {
    writer_prunes = false
  }
  assert {
    condition     = !contains(flatten([for s in jsondecode(aws_iam_role_policy.this["writer"].policy).Statement : s.Action]), "s3:DeleteObject")
    error_message = "the writer can delete"
  }
}

run "only_the_service_account_can_assume_the_role" {
  assert {
    condition     = jsondecode(aws_iam_role.this["writer"].assume_role_policy).Statement[0].Condition.StringLike["oidc.example:sub"] == ["system:serviceaccount:nova:auth-db-backup"]
    error_message = "wrong subject"
  }
}
