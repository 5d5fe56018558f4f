package iam

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// S3 returns the calls of a path-style request to an S3 server: the action of the API
// (Actions, resources, and condition keys for Amazon S3), and what S3 asks of KMS for a bucket
// that is encrypted with a key.
func S3(r *http.Request) []Call {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	onBucket, onObject := "arn:aws:s3:::"+bucket, "arn:aws:s3:::"+bucket+"/"+key
	if key == "" {
		return onBucketCalls(r.Method, query, onBucket)
	}
	decrypt, encrypt := Call{Action: "kms:Decrypt", Resource: Key}, Call{Action: "kms:GenerateDataKey", Resource: Key}
	switch {
	case slices.ContainsFunc([]string{"tagging", "acl", "retention", "legal-hold", "attributes", "versionId"}, query.Has):
		return []Call{{Action: "s3:" + r.Method + "?" + r.URL.RawQuery, Resource: onObject}} // no policy has it
	case (r.Method == http.MethodGet || r.Method == http.MethodHead) && query.Has("uploadId"):
		return []Call{{Action: "s3:ListMultipartUploadParts", Resource: onObject}}
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		return []Call{{Action: "s3:GetObject", Resource: onObject}, decrypt}
	case r.Method == http.MethodDelete && query.Has("uploadId"):
		return []Call{{Action: "s3:AbortMultipartUpload", Resource: onObject}}
	case r.Method == http.MethodDelete:
		return []Call{{Action: "s3:DeleteObject", Resource: onObject}}
	case r.Header.Get("X-Amz-Copy-Source") != "":
		source, _ := url.PathUnescape(strings.TrimPrefix(r.Header.Get("X-Amz-Copy-Source"), "/"))
		return []Call{{Action: "s3:GetObject", Resource: "arn:aws:s3:::" + source}, decrypt, {Action: "s3:PutObject", Resource: onObject}, encrypt}
	case query.Has("uploads") || query.Has("uploadId"): // parts are decrypted and encrypted with the upload's key
		return []Call{{Action: "s3:PutObject", Resource: onObject}, encrypt, decrypt}
	}
	return []Call{{Action: "s3:PutObject", Resource: onObject}, encrypt}
}

func onBucketCalls(method string, query url.Values, bucket string) []Call {
	switch {
	case method == http.MethodPost && query.Has("delete"):
		return []Call{{Action: "s3:DeleteObject", Resource: bucket + "/" + Prefix + "/*"}}
	case method == http.MethodGet && query.Has("uploads"):
		return []Call{{Action: "s3:ListBucketMultipartUploads", Resource: bucket}}
	case method == http.MethodGet && query.Has("versions"):
		return []Call{{Action: "s3:ListBucketVersions", Resource: bucket}}
	case method == http.MethodGet && query.Has("list-type"):
		return []Call{{Action: "s3:ListBucket", Resource: bucket, Context: "s3:prefix=" + query.Get("prefix")}}
	case method == http.MethodHead:
		return []Call{{Action: "s3:ListBucket", Resource: bucket}}
	}
	return []Call{{Action: "s3:" + method + "?" + query.Encode(), Resource: bucket}}
}
