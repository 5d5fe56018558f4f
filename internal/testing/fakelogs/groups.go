package fakelogs

import (
	"regexp"
	"slices"
	"unicode/utf8"
)

var (
	groupName  = regexp.MustCompile(`^[.\-_/#A-Za-z0-9]{1,512}$`)
	streamName = regexp.MustCompile(`^[^:*]{1,512}$`)
	// retentions are the days that PutRetentionPolicy takes.
	retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
)

// checkViolation records a failure as a violation unless it belongs to the
// protocol.
func (s *Server) checkViolation(operation string, f *failure) *failure {
	if f != nil && f.name != "ResourceAlreadyExistsException" && f.name != "ResourceNotFoundException" {
		s.recordViolation(operation, f)
	}
	return f
}

func (s *Server) createLogGroup(body []byte) *failure {
	var in struct {
		Name string `json:"logGroupName"`
	}
	f := decode(body, &in)
	if f == nil && (!groupName.MatchString(in.Name) || len(in.Name) > 3 && in.Name[:4] == "aws/") {
		f = invalid("log group name %q", in.Name)
	}
	if f != nil {
		return s.checkViolation("CreateLogGroup", f)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.groups[in.Name] != nil {
		return refuse("ResourceAlreadyExistsException", "The specified log group already exists")
	}
	s.groups[in.Name] = &group{streams: map[string]bool{}}
	return nil
}

func (s *Server) createLogStream(body []byte) *failure {
	var in struct {
		Group  string `json:"logGroupName"`
		Stream string `json:"logStreamName"`
	}
	f := decode(body, &in)
	if f == nil && (!streamName.MatchString(in.Stream) || utf8.RuneCountInString(in.Stream) > 512) {
		f = invalid("log stream name %q", in.Stream)
	}
	if f != nil {
		return s.checkViolation("CreateLogStream", f)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[in.Group]
	if g == nil {
		return refuse("ResourceNotFoundException", "The specified log group does not exist.")
	}
	if g.streams[in.Stream] {
		return refuse("ResourceAlreadyExistsException", "The specified log stream already exists")
	}
	g.streams[in.Stream] = true
	return nil
}

func (s *Server) putRetentionPolicy(body []byte) *failure {
	var in struct {
		Group string `json:"logGroupName"`
		Days  int    `json:"retentionInDays"`
	}
	f := decode(body, &in)
	if f == nil && !slices.Contains(retentions, in.Days) {
		f = invalid("retention of %d days", in.Days)
	}
	if f != nil {
		return s.checkViolation("PutRetentionPolicy", f)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.groups[in.Group]
	if g == nil {
		return refuse("ResourceNotFoundException", "The specified log group does not exist.")
	}
	g.retention = in.Days
	return nil
}
