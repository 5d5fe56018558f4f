package clusterdns

import "testing"

func TestServicesOfTheClusterAreToldFromTheWorld(t *testing.T) {
	for host, want := range map[string]string{
		"minio": "own", "MinIO.Storage": "storage", "minio.storage.svc": "storage", "minio.storage.svc.cluster.local.": "storage",
		"s3.eu-central-1.amazonaws.com": "", "storage.example.org": "", "example.org": "", "minio.local": "",
		"10.1.2.3": "", "fd00::1": "", "localhost": "", "": "",
	} {
		got, ok := ServiceNamespace(host, "own")
		if (want != "") != ok || ok && got != want {
			t.Errorf("%s: namespace %q, %t", host, got, ok)
		}
	}
}
