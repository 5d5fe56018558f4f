mock_provider "aws" {
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:111122223333:key/1" }
  }
}

variables {
  bucket = "nova-backups"
}

run "the_bucket_is_protected" {
  assert {
    condition     = aws_s3_bucket.backups.object_lock_enabled && aws_s3_bucket_versioning.backups.versioning_configuration[0].status == "Enabled"
    error_message = "want versioning and Object Lock"
  }
  assert {
    condition = alltrue([
      aws_s3_bucket_public_access_block.backups.block_public_acls, aws_s3_bucket_public_access_block.backups.block_public_policy,
      aws_s3_bucket_public_access_block.backups.ignore_public_acls, aws_s3_bucket_public_access_block.backups.restrict_public_buckets,
    ])
    error_message = "public access must be off"
  }
  assert {
    condition     = one([for r in aws_s3_bucket_server_side_encryption_configuration.backups.rule : r.apply_server_side_encryption_by_default[0].sse_algorithm]) == "aws:kms"
    error_message = "want encryption with KMS"
  }
  assert {
    condition     = jsondecode(aws_s3_bucket_policy.backups.policy).Statement[0].Condition.Bool["aws:SecureTransport"] == "false"
    error_message = "requests without TLS must be denied"
  }
}

run "stale_uploads_are_aborted" {
  assert {
    condition     = one([for r in aws_s3_bucket_lifecycle_configuration.backups.rule : r.abort_incomplete_multipart_upload[0].days_after_initiation if r.id == "stale-uploads"]) == 2
    error_message = "want two days"
  }
}
