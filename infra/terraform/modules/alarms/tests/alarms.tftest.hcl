mock_provider "aws" {
  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:eu-central-1:111122223333:topic" }
  }
}

variables {
  prefix    = "prod-"
  services  = [{ namespace = "nova", service = "feed" }]
  databases = ["nova_auth", "nova_content"]
}

run "one_alarm_for_each_service_and_database" {
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.nova_http_server_errors) == 1
    error_message = "want one alarm for each service"
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.novawire_backup_missed) == 2
    error_message = "want one alarm for each database"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.nova_http_server_errors["nova/feed"].dimensions == tomap({ Namespace = "nova", Service = "feed" })
    error_message = "wrong dimensions"
  }
}

run "a_backup_that_reports_nothing_is_missed" {
  assert {
    condition     = aws_cloudwatch_metric_alarm.novawire_backup_missed["nova_auth"].treat_missing_data == "breaching"
    error_message = "missing data must breach"
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.nova_http_server_errors["nova/feed"].treat_missing_data == "notBreaching"
    error_message = "no errors must not breach"
  }
}

run "every_alarm_notifies" {
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.novawire_backup_missed["nova_auth"].alarm_actions) == 1
    error_message = "the alarm has no action"
  }
}
