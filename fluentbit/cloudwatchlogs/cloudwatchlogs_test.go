package cloudwatchlogs_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/nova/novawire/fluentbit/cloudwatchlogs"
	"github.com/nova/novawire/fluentbit/delivery"
	"github.com/nova/novawire/internal/testing/fakelogs"
)

var keys = credentials.NewStaticCredentialsProvider("id", "s3cret", "session")

func client(endpoint string) *cloudwatchlogs.Client {
	return &cloudwatchlogs.Client{
		Endpoint: endpoint, Region: "eu-west-1", Credentials: keys,
		HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, Timeout: time.Second, Now: time.Now,
	}
}

// recorded is the meaning of a request.
type recorded struct {
	header map[string]string
	body   any
}

// AWS's client and ours send equal requests.
func TestClient_SendsRequestsOfSDK(t *testing.T) {
	var seen []recorded
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := recorded{header: map[string]string{"method": r.Method, "path": r.URL.String(), "token": r.Header.Get("X-Amz-Security-Token")}}
		for _, name := range []string{"Content-Type", "X-Amz-Target"} {
			got.header[name] = r.Header.Get(name)
		}
		body, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(body, &got.body); err != nil {
			t.Error(err)
		}
		seen = append(seen, got)
		_, _ = w.Write([]byte(`{}`))
	}))
	defer server.Close()
	theirs := sdk.New(sdk.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: keys})
	ours := client(server.URL)
	entry := func(message string) []byte { return []byte(`{"timestamp":12,"message":` + message + `}`) }
	for name, c := range map[string]struct{ theirs, ours func(context.Context) error }{
		"PutLogEvents": {
			func(ctx context.Context) error {
				_, err := theirs.PutLogEvents(ctx, &sdk.PutLogEventsInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s\"\u2028"), LogEvents: []types.InputLogEvent{
					{Timestamp: aws.Int64(12), Message: aws.String("a\"b")}, {Timestamp: aws.Int64(12), Message: aws.String("c")},
				}})
				return err
			},
			func(ctx context.Context) error {
				_, err := ours.Put(ctx, "/g", "s\"\u2028", [][]byte{entry(`"a\"b"`), entry(`"c"`)})
				return err
			},
		},
		"CreateLogGroup": {
			func(ctx context.Context) error {
				_, err := theirs.CreateLogGroup(ctx, &sdk.CreateLogGroupInput{LogGroupName: aws.String("/g")})
				return err
			},
			func(ctx context.Context) error { return ours.CreateGroup(ctx, "/g") },
		},
		"CreateLogStream": {
			func(ctx context.Context) error {
				_, err := theirs.CreateLogStream(ctx, &sdk.CreateLogStreamInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s")})
				return err
			},
			func(ctx context.Context) error { return ours.CreateStream(ctx, "/g", "s") },
		},
		"PutRetentionPolicy": {
			func(ctx context.Context) error {
				_, err := theirs.PutRetentionPolicy(ctx, &sdk.PutRetentionPolicyInput{LogGroupName: aws.String("/g"), RetentionInDays: aws.Int32(7)})
				return err
			},
			func(ctx context.Context) error { return ours.SetRetention(ctx, "/g", 7) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			seen = nil
			if err := errors.Join(c.theirs(t.Context()), c.ours(t.Context())); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(seen[0], seen[1], cmp.AllowUnexported(recorded{})); diff != "" {
				t.Errorf("requests (-theirs +ours):\n%s", diff)
			}
		})
	}
}

func TestClient_Put_Rejected(t *testing.T) {
	for answer, want := range map[string]delivery.Rejected{
		`{}`:                             {},
		`{"nextSequenceToken":"49"}`:     {},
		`{"rejectedLogEventsInfo":null}`: {},
		`{"rejectedLogEventsInfo":{"tooOldLogEventEndIndex":1,"expiredLogEventEndIndex":2,"tooNewLogEventStartIndex":3}}`: {TooOld: 1, Expired: 2, TooNew: 1},
		`{"rejectedLogEventsInfo":{"tooNewLogEventStartIndex":0}}`:                                                        {TooNew: 4},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
		got, err := client(server.URL).Put(t.Context(), "g", "s", make([][]byte, 4))
		server.Close()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: error %v (-want +got):\n%s", answer, err, diff)
		}
	}
}

func TestClient_Put_Errors(t *testing.T) {
	type answer struct {
		status       int
		header, body string
	}
	cases := map[string]struct {
		answer answer
		want   error // nil: none of delivery's
	}{
		"throttled":                   {answer{400, "", `{"__type":"ThrottlingException","message":"Rate exceeded"}`}, delivery.ErrThrottled},
		"throttled, with a namespace": {answer{400, "", `{"__type":"com.amazonaws.logs#ThrottlingException"}`}, delivery.ErrThrottled},
		"throttled, in a header":      {answer{400, "ThrottlingException:http://x/", ``}, delivery.ErrThrottled},
		"throttled by a proxy":        {answer{429, "", `slow down`}, delivery.ErrThrottled},
		"no such group":               {answer{400, "", `{"__type":"ResourceNotFoundException"}`}, delivery.ErrNotFound},
		"there already":               {answer{400, "", `{"__type":"ResourceAlreadyExistsException"}`}, delivery.ErrAlreadyExists},
		"a limit":                     {answer{400, "", `{"__type":"InvalidParameterException"}`}, delivery.ErrInvalid},
		"too large for a proxy":       {answer{413, "", ``}, delivery.ErrInvalid},
		"broken inside":               {answer{500, "", `{"__type":"InternalFailure"}`}, delivery.ErrResponseLost},
		"a proxy that gave up":        {answer{504, "", `<html>`}, delivery.ErrResponseLost},
		"a body that is not JSON":     {answer{200, "", `<html>`}, delivery.ErrResponseLost},
		"unavailable":                 {answer{503, "", `{"__type":"ServiceUnavailableException"}`}, nil},
		"denied":                      {answer{400, "", `{"__type":"AccessDeniedException","Message":"not authorized"}`}, nil},
		"of a name that nobody knows": {answer{400, "", `{"__type":"SomethingNew"}`}, nil},
	}
	all := []error{delivery.ErrThrottled, delivery.ErrNotFound, delivery.ErrAlreadyExists, delivery.ErrInvalid, delivery.ErrResponseLost}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Amzn-Errortype", c.answer.header)
				w.WriteHeader(c.answer.status)
				_, _ = w.Write([]byte(c.answer.body))
			}))
			defer server.Close()
			_, err := client(server.URL).Put(t.Context(), "g", "s", nil)
			if err == nil || strings.Contains(err.Error(), "s3cret") {
				t.Fatalf("error is %v", err)
			}
			for _, one := range all {
				if errors.Is(err, one) != errors.Is(c.want, one) {
					t.Errorf("error %v is %q: %v", err, one, errors.Is(err, one))
				}
			}
		})
	}
}

func TestClient_Put_Unreachable(t *testing.T) {
	_, err := client("http://127.0.0.1:1").Put(t.Context(), "g", "s", nil)
	if err == nil || errors.Is(err, delivery.ErrResponseLost) {
		t.Errorf("error is %v", err)
	}
}

func TestClient_Put_Timeout(t *testing.T) {
	s, err := fakelogs.Start(t.Context(), fakelogs.Options{Region: "eu-west-1", AccessKey: "id", SecretKey: "s3cret"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.CreateStream("g", "s")
	s.InjectFaults(func(int) fakelogs.Fault { return fakelogs.Fault{Hang: true} })
	c := client(s.URL())
	c.Timeout = 200 * time.Millisecond
	_, err = c.Put(t.Context(), "g", "s", [][]byte{[]byte(`{"timestamp":` + now() + `,"message":"x"}`)})
	if !errors.Is(err, delivery.ErrResponseLost) || s.LostResponses() != 1 {
		t.Errorf("error is %v, lost %d", err, s.LostResponses())
	}
}

func now() string {
	text, _ := json.Marshal(time.Now().UnixMilli())
	return string(text)
}

// expiring counts how often credentials are asked for and invalidated.
type expiring struct{ asked, invalidated int }

func (e *expiring) Retrieve(ctx context.Context) (aws.Credentials, error) {
	e.asked++
	return keys.Retrieve(ctx)
}

func (e *expiring) Invalidate() { e.invalidated++ }

func TestClient_InvalidatesExpiredCredentials(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"__type":"ExpiredTokenException"}`))
	}))
	defer server.Close()
	e := &expiring{}
	c := client(server.URL)
	c.Credentials = e
	if err := c.CreateGroup(t.Context(), "g"); err == nil || e.invalidated != 1 {
		t.Errorf("error %v, invalidated %d times", err, e.invalidated)
	}
}
