mock_provider "aws" {}

variables {
  services = [{ namespace = "nova", service = "feed" }]
}

run "the_plugin_finds_the_group" {
  assert {
    condition     = output.groups["nova/feed"] == "/nova/nova/feed"
    error_message = "the plugin writes to /nova/{namespace}/{service}"
  }
}

run "lines_expire_and_outlive_the_state" {
  assert {
    condition     = alltrue([for g in aws_cloudwatch_log_group.service : g.retention_in_days == 30 && g.skip_destroy])
    error_message = "a group has no retention, or is destroyed with the state"
  }
}
