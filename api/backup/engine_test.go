package backup

import "testing"

func TestDetectEngine(t *testing.T) {
	image := func(images ...string) (containers []Container) {
		for _, i := range images {
			containers = append(containers, Container{Name: "c", Image: i})
		}
		return containers
	}
	cases := []struct {
		name       string
		containers []Container
		want       Engine
	}{
		{"the official image", image("postgres:17"), PostgreSQL},
		{"an image with registry, port and digest", image("registry.example.org:5000/library/postgres@sha256:00"), PostgreSQL},
		{"Bitnami", image("docker.io/bitnamilegacy/postgresql:16.4.0-debian-12-r1"), PostgreSQL},
		{"PostGIS", image("postgis/postgis:17-3.5"), PostgreSQL},
		{"TimescaleDB", image("timescale/timescaledb-ha:pg17"), PostgreSQL},
		{"pgvector", image("pgvector/pgvector:pg17"), PostgreSQL},
		{"CloudNativePG", image("ghcr.io/cloudnative-pg/postgresql:17"), PostgreSQL},
		{"Spilo", image("ghcr.io/zalando/spilo-17:4.0-p2"), PostgreSQL},
		{"an exporter beside the server", image("quay.io/prometheuscommunity/postgres-exporter", "postgres:17"), PostgreSQL},
		{"a private image with the port", []Container{{Image: "registry/db:1", Ports: []int{5432}}}, PostgreSQL},
		{"a private image with the command", []Container{{Image: "registry/db:1", Command: []string{"/usr/lib/postgresql/17/bin/postgres"}}}, PostgreSQL},
		{"an exporter alone", image("postgres-exporter:1"), ""},
		{"PgBouncer has the port and no data", []Container{{Image: "edoburu/pgbouncer", Ports: []int{5432}}}, ""},
		{"MySQL", image("mysql:8"), "MySQL"},
		{"MySQL on PostgreSQL's port", []Container{{Image: "mysql:8", Ports: []int{5432}}}, "MySQL"},
		{"MariaDB", image("bitnami/mariadb-galera:11"), "MariaDB"},
		{"Redis with its exporter", image("oliver006/redis_exporter", "redis:7"), "Redis"},
		{"Valkey", image("valkey/valkey:8"), "Redis"},
		{"MongoDB", image("mongo:7"), "MongoDB"},
		{"CockroachDB speaks PostgreSQL's protocol", []Container{{Image: "cockroachdb/cockroach:v24", Ports: []int{26257}}}, "CockroachDB"},
		{"a private image with MySQL's port", []Container{{Image: "registry/db:1", Ports: []int{3306}}}, "MySQL"},
		{"PostgreSQL and a cache", image("redis:7", "postgres:17"), PostgreSQL},
		{"an application", []Container{{Image: "ghcr.io/nova/feed:1.2", Ports: []int{8080}}}, ""},
		{"no container", nil, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := DetectEngine(c.containers); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
