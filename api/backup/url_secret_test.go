package backup

import "testing"

func TestParseRequest_URLSecret(t *testing.T) {
	for value, want := range map[string]SecretKey{
		"db/url":                             {"db", "url"},
		"db/user=username,password=password": {"db", "user=username,password=password"},
		"db/user=u,password=p,host=h,port=n": {"db", "user=u,password=p,host=h,port=n"},
		"db":                                 {},
		"db/":                                {},
		"db/user=u":                          {}, // no password
		"db/password=p":                      {}, // no user
		"db/user=u,password=":                {},
		"db/user=u,password=p,user=v":        {},
		"db/user=u,password=p,dbname=d":      {},
		"db/user=u,password=p/q":             {},
		"DB/user=u,password=p":               {},
		"postgres://u:p@h/db?a=b":            {},
	} {
		r, refusals := ParseRequest(DefaultRequest(), map[string]string{AnnotationURLSecret: value})
		if r.URLSecret != want || (len(refusals) == 0) != (want != SecretKey{}) {
			t.Errorf("%q: %+v, %v", value, r.URLSecret, refusals)
		}
	}
}
