# Generated from package monitoring by `make generate`; do not edit.

resource "aws_cloudwatch_metric_alarm" "nova_http_server_errors" {
  for_each = local.services

  alarm_name          = "${var.prefix}NovaHTTPServerErrors ${each.key}"
  alarm_description   = "The P0 indicator http_server_errors_total has grown. One error does not call anybody; the burn-rate alerts and the CloudWatch alarm (3 of 5 minutes) do. Runbook: https://github.com/nova/novawire/blob/main/docs/runbooks/alerts/services.md#novahttpservererrors"
  namespace           = "Nova/Logs"
  metric_name         = "http_server_errors_total"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.warning.arn]
  ok_actions          = [aws_sns_topic.warning.arn]
  dimensions = {
    Namespace = each.value.namespace
    Service   = each.value.service
  }
}

resource "aws_cloudwatch_metric_alarm" "nova_grpc_client_errors" {
  for_each = local.services

  alarm_name          = "${var.prefix}NovaGRPCClientErrors ${each.key}"
  alarm_description   = "The P0 indicator grpc_client_errors_total has grown. One error does not call anybody; the burn-rate alerts and the CloudWatch alarm (3 of 5 minutes) do. Runbook: https://github.com/nova/novawire/blob/main/docs/runbooks/alerts/services.md#novagrpcclienterrors"
  namespace           = "Nova/Logs"
  metric_name         = "grpc_client_errors_total"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.warning.arn]
  ok_actions          = [aws_sns_topic.warning.arn]
  dimensions = {
    Namespace = each.value.namespace
    Service   = each.value.service
  }
}

resource "aws_cloudwatch_metric_alarm" "nova_redis_timeouts" {
  for_each = local.services

  alarm_name          = "${var.prefix}NovaRedisTimeouts ${each.key}"
  alarm_description   = "The P0 indicator redis_timeout_total has grown. One error does not call anybody; the burn-rate alerts and the CloudWatch alarm (3 of 5 minutes) do. Runbook: https://github.com/nova/novawire/blob/main/docs/runbooks/alerts/services.md#novaredistimeouts"
  namespace           = "Nova/Logs"
  metric_name         = "redis_timeout_total"
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.warning.arn]
  ok_actions          = [aws_sns_topic.warning.arn]
  dimensions = {
    Namespace = each.value.namespace
    Service   = each.value.service
  }
}

resource "aws_cloudwatch_metric_alarm" "novawire_backup_missed" {
  for_each = var.databases

  alarm_name          = "${var.prefix}NovawireBackupMissed ${each.key}"
  alarm_description   = "No backup was committed for 26 hours. For a schedule that is rarer than daily, raise the limit. Runbook: https://github.com/nova/novawire/blob/main/docs/runbooks/alerts/backup.md#novawirebackupmissed"
  namespace           = "Nova/Backup"
  metric_name         = "BackupSuccess"
  statistic           = "Sum"
  period              = 3600
  evaluation_periods  = 26
  datapoints_to_alarm = 26
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.critical.arn]
  ok_actions          = [aws_sns_topic.critical.arn]
  dimensions = {
    Database = each.key
  }
}

resource "aws_cloudwatch_metric_alarm" "novawire_backup_not_verified" {
  for_each = var.databases

  alarm_name          = "${var.prefix}NovawireBackupNotVerified ${each.key}"
  alarm_description   = "The last successful restore drill is more than 100 days old. Without a drill nobody knows whether the backups can be restored. Runbook: https://github.com/nova/novawire/blob/main/docs/runbooks/alerts/backup.md#novawirebackupnotverified"
  namespace           = "Nova/Backup"
  metric_name         = "VerifiedRestoreAge"
  statistic           = "Maximum"
  period              = 86400
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 8640000
  treat_missing_data  = "ignore"
  alarm_actions       = [aws_sns_topic.warning.arn]
  ok_actions          = [aws_sns_topic.warning.arn]
  dimensions = {
    Database = each.key
  }
}

resource "aws_cloudwatch_metric_alarm" "novawire_backup_failed" {
  for_each = var.databases

  alarm_name          = "${var.prefix}NovawireBackupFailed ${each.key}"
  alarm_description   = "A run, a drill or a restore failed in the last six hours. Earlier backups are not affected. Runbook: https://github.com/nova/novawire/blob/main/docs/runbooks/alerts/backup.md#novawirebackupfailed"
  namespace           = "Nova/Backup"
  metric_name         = "BackupSuccess"
  statistic           = "Minimum"
  period              = 3600
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.warning.arn]
  ok_actions          = [aws_sns_topic.warning.arn]
  dimensions = {
    Database = each.key
  }
}

resource "aws_cloudwatch_metric_alarm" "novawire_backup_not_copied" {
  for_each = var.databases

  alarm_name          = "${var.prefix}NovawireBackupNotCopied ${each.key}"
  alarm_description   = "The second store lacks the backups of the last 26 hours. If the first one is lost now, they are lost too. Runbook: https://github.com/nova/novawire/blob/main/docs/runbooks/alerts/backup.md#novawirebackupnotcopied"
  namespace           = "Nova/Backup"
  metric_name         = "CopyFailure"
  statistic           = "Maximum"
  period              = 3600
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.warning.arn]
  ok_actions          = [aws_sns_topic.warning.arn]
  dimensions = {
    Database = each.key
  }
}

resource "aws_cloudwatch_metric_alarm" "novawire_backup_anomaly" {
  for_each = var.databases

  alarm_name          = "${var.prefix}NovawireBackupAnomaly ${each.key}"
  alarm_description   = "Since the previous backup, tables disappeared or lost nine tenths of their rows. The backup itself is complete. Runbook: https://github.com/nova/novawire/blob/main/docs/runbooks/alerts/backup.md#novawirebackupanomaly"
  namespace           = "Nova/Backup"
  metric_name         = "BackupAnomalies"
  statistic           = "Maximum"
  period              = 3600
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.warning.arn]
  ok_actions          = [aws_sns_topic.warning.arn]
  dimensions = {
    Database = each.key
  }
}

resource "aws_cloudwatch_metric_alarm" "novawire_backup_not_good" {
  for_each = var.databases

  alarm_name          = "${var.prefix}NovawireBackupNotGood ${each.key}"
  alarm_description   = "The newest run or drill found backups that do not count as a way back. Other backups may be good. Runbook: https://github.com/nova/novawire/blob/main/docs/runbooks/alerts/backup.md#novawirebackupnotgood"
  namespace           = "Nova/Backup"
  metric_name         = "BackupsNotGood"
  statistic           = "Maximum"
  period              = 3600
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "ignore"
  alarm_actions       = [aws_sns_topic.warning.arn]
  ok_actions          = [aws_sns_topic.warning.arn]
  dimensions = {
    Database = each.key
  }
}

resource "aws_cloudwatch_metric_alarm" "novawire_backup_prune_refused" {
  for_each = var.databases

  alarm_name          = "${var.prefix}NovawireBackupPruneRefused ${each.key}"
  alarm_description   = "Retention would have deleted more than half of the backups of a database at once, so it deleted none. Runbook: https://github.com/nova/novawire/blob/main/docs/runbooks/alerts/backup.md#novawirebackupprunerefused"
  namespace           = "Nova/Backup"
  metric_name         = "PruneRefused"
  statistic           = "Maximum"
  period              = 3600
  evaluation_periods  = 1
  datapoints_to_alarm = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  treat_missing_data  = "ignore"
  alarm_actions       = [aws_sns_topic.warning.arn]
  ok_actions          = [aws_sns_topic.warning.arn]
  dimensions = {
    Database = each.key
  }
}
