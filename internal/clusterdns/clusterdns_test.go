package clusterdns

import "testing"

func TestServiceNamespace(t *testing.T) {
	for host, want := range map[string]string{
		"minio": "own", "MinIO.Storage.svc": "storage", "minio.storage.svc": "storage", "minio.storage.svc.cluster.local.": "storage",
		"minio.storage": "", "minio.lan": "", "s3.home.arpa": "", "nas.corp": "", "example.org": "", "minio.local": "",
		"s3.eu-central-1.amazonaws.com": "", "storage.example.org": "",
		"10.1.2.3": "", "fd00::1": "", "localhost": "", "": "",
	} {
		got, ok := ServiceNamespace(host, "own")
		if (want != "") != ok || ok && got != want {
			t.Errorf("%s: namespace %q, %t, want %q", host, got, ok, want)
		}
	}
}
