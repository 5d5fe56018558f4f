package fakelogs_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/internal/testing/fakelogs"
)

func start(t *testing.T) (*fakelogs.Server, *cloudwatchlogs.Client) {
	t.Helper()
	s, err := fakelogs.Start(t.Context(), fakelogs.Options{Region: "eu-west-1", AccessKey: "id", SecretKey: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, sdk(s, "secret")
}

// sdk returns AWS's own client, which defines the protocol.
func sdk(s *fakelogs.Server, secret string) *cloudwatchlogs.Client {
	return cloudwatchlogs.New(cloudwatchlogs.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(s.URL()), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("id", secret, ""),
	})
}

func put(t *testing.T, client *cloudwatchlogs.Client, events ...types.InputLogEvent) (*cloudwatchlogs.PutLogEventsOutput, error) {
	t.Helper()
	return client.PutLogEvents(t.Context(), &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("/nova/a"), LogStreamName: aws.String("s"), LogEvents: events})
}

func at(t time.Time, message string) types.InputLogEvent {
	return types.InputLogEvent{Timestamp: aws.Int64(t.UnixMilli()), Message: &message}
}

func code(err error) string {
	if api := smithy.APIError(nil); errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

func TestServer_ServesSDK(t *testing.T) {
	s, client := start(t)
	now := time.Now()
	if _, err := put(t, client, at(now, "a")); code(err) != "ResourceNotFoundException" {
		t.Fatalf("without a group: %v", err)
	}
	for range 2 {
		_, err := client.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/nova/a")})
		if c := code(err); err != nil && c != "ResourceAlreadyExistsException" {
			t.Fatal(err)
		}
		_, err = client.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("/nova/a"), LogStreamName: aws.String("s")})
		if c := code(err); err != nil && c != "ResourceAlreadyExistsException" {
			t.Fatal(err)
		}
	}
	if _, err := client.PutRetentionPolicy(t.Context(), &cloudwatchlogs.PutRetentionPolicyInput{LogGroupName: aws.String("/nova/a"), RetentionInDays: aws.Int32(7)}); err != nil {
		t.Fatal(err)
	}
	out, err := put(
		t, client,
		at(now.Add(-15*24*time.Hour), "too old"), at(now, "é\x01 kept"), at(now.Add(3*time.Hour), "too new"),
	)
	if err != nil {
		t.Fatal(err)
	}
	expired, err := put(t, client, at(now.Add(-8*24*time.Hour), "expired"))
	if err != nil {
		t.Fatal(err)
	}
	info := out.RejectedLogEventsInfo
	got := []int32{*info.TooOldLogEventEndIndex, *expired.RejectedLogEventsInfo.ExpiredLogEventEndIndex, *info.TooNewLogEventStartIndex}
	if diff := cmp.Diff([]int32{1, 1, 2}, got); diff != "" {
		t.Errorf("indexes (-want +got):\n%s", diff)
	}
	want := []fakelogs.Event{{Group: "/nova/a", Stream: "s", Timestamp: now.UnixMilli(), Message: "é\x01 kept"}}
	if diff := cmp.Diff(want, s.Stored()); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	if r := s.Violations(); len(r) > 0 {
		t.Errorf("refused %q", r)
	}
	if s.Retention("/nova/a") != 7 {
		t.Errorf("retention is %d", s.Retention("/nova/a"))
	}
}

func TestServer_Limits(t *testing.T) {
	now := time.Now()
	many := func(n, size int) (events []types.InputLogEvent) {
		message := strings.Repeat("x", size)
		for range n {
			events = append(events, at(now, message))
		}
		return events
	}
	cases := map[string]struct {
		events []types.InputLogEvent
		taken  bool
	}{
		"a batch of a byte more": {many(8, 131_072-26+1), false},
		"a batch to the byte":    {many(8, 131_072-26), true},
		"10,000 events":          {many(10_000, 1), true},
		"10,001 events":          {many(10_001, 1), false},
		"no events":              {nil, false},
		"an event of a million bytes with its overhead": {many(1, 1_000_000-26), true},
		"an event of a byte more":                       {many(1, 1_000_000-25), false},
		"an empty event":                                {many(1, 0), false},
		"events that go back in time":                   {[]types.InputLogEvent{at(now, "a"), at(now.Add(-time.Millisecond), "b")}, false},
		"a day":                                         {[]types.InputLogEvent{at(now.Add(-24*time.Hour), "a"), at(now, "b")}, true},
		"more than a day":                               {[]types.InputLogEvent{at(now.Add(-24*time.Hour-time.Millisecond), "a"), at(now, "b")}, false},
		"a time before 1970":                            {[]types.InputLogEvent{at(time.UnixMilli(-1), "a")}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, client := start(t)
			s.CreateStream("/nova/a", "s")
			_, err := put(t, client, c.events...)
			if taken := err == nil; taken != c.taken {
				t.Errorf("taken %v, error %.200v", taken, err)
			}
			// The client itself refuses what has no required member.
			if len(s.Violations()) != 1 && !c.taken && c.events != nil {
				t.Errorf("refused %q", s.Violations())
			}
		})
	}
}

func TestServer_Signature(t *testing.T) {
	s, _ := start(t)
	s.CreateStream("/nova/a", "s")
	if _, err := put(t, sdk(s, "another"), at(time.Now(), "a")); code(err) != "InvalidSignatureException" {
		t.Errorf("error is %v", err)
	}
}

func TestServer_GroupNames(t *testing.T) {
	_, client := start(t)
	for _, name := range []string{"", "a b", "aws/mine", "é", strings.Repeat("a", 513)} {
		if _, err := client.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &name}); err == nil {
			t.Errorf("group %q was created", name)
		}
	}
}

func TestServer_Throttles(t *testing.T) {
	now := time.Now()
	s, err := fakelogs.Start(t.Context(), fakelogs.Options{Region: "eu-west-1", AccessKey: "id", SecretKey: "secret", Rate: 2, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.CreateStream("/nova/a", "s")
	var codes []string
	for range 3 {
		_, err := put(t, sdk(s, "secret"), at(now, "a"))
		codes = append(codes, code(err))
	}
	if diff := cmp.Diff([]string{"", "", "ThrottlingException"}, codes); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

func TestServer_Faults(t *testing.T) {
	for name, c := range map[string]struct {
		fault        fakelogs.Fault
		stored, lost int
	}{
		"reset":           {fakelogs.Fault{Reset: true}, 0, 0},
		"refused":         {fakelogs.Fault{Refuse: "ThrottlingException"}, 0, 0},
		"answer lost":     {fakelogs.Fault{LoseResponse: true}, 1, 1},
		"group vanished":  {fakelogs.Fault{DeleteGroup: true}, 0, 0},
		"stream vanished": {fakelogs.Fault{DeleteStream: true}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, client := start(t)
			s.CreateStream("/nova/a", "s")
			s.InjectFaults(func(int) fakelogs.Fault { return c.fault })
			if _, err := put(t, client, at(time.Now(), "a")); err == nil {
				t.Error("the client noticed nothing")
			}
			if len(s.Stored()) != c.stored || s.LostResponses() != c.lost {
				t.Errorf("stored %d, lost %d; want %d, %d", len(s.Stored()), s.LostResponses(), c.stored, c.lost)
			}
		})
	}
}
