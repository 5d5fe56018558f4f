package backup

import "strings"

// Engine is a database system.
type Engine string

// PostgreSQL is the engine that backups support.
const PostgreSQL Engine = "PostgreSQL"

// PostgresPort is the standard port of PostgreSQL.
const PostgresPort = 5432

// Container has the fields of a container from which its engine is recognized.
type Container struct {
	Name, Image string
	Command     []string
	Ports       []int // container ports, TCP
}

// NotPostgreSQL returns the message about a request to back up another engine.
func NotPostgreSQL(engine Engine) string {
	return "this is " + string(engine) + ", not PostgreSQL: no backup is scheduled; remove the annotation, or set " +
		AnnotationClientImage + " if it is PostgreSQL after all"
}

// DetectEngine returns the engine that a pod serves, "" if none is recognized. A pod
// with a PostgreSQL container and others, such as a cache, is PostgreSQL.
func DetectEngine(containers []Container) Engine {
	var other Engine
	for _, c := range containers {
		switch engine := c.engine(); {
		case engine == PostgreSQL:
			return PostgreSQL
		case other == "":
			other = engine
		}
	}
	return other
}

// engine prefers the image, which says most, to the command and the port.
func (c Container) engine() Engine {
	image := imageName(c.Image)
	if containsAny(image, clients) {
		return "" // an exporter has the name and a proxy has the port of its server
	}
	for _, candidate := range []string{image, commandName(c.Command)} {
		for _, e := range engines {
			if containsAny(candidate, e.names) {
				return e.engine
			}
		}
	}
	for _, port := range c.Ports {
		if engine, ok := enginePorts[port]; ok {
			return engine
		}
	}
	return ""
}

// clients are parts of the names of images that use a database and serve none.
var clients = []string{
	"exporter", "pgbouncer", "pgadmin", "pgpool", "postgrest", "adminer", "operator", "backup", "proxy", "migrate",
	"commander", "insight", "sentinel", "phpmyadmin", "express", "client", "pgcat", "odyssey",
}

// engines are in the order in which names are compared.
var engines = []struct {
	engine Engine
	names  []string // parts of the names of images and programs
}{
	{"CockroachDB", []string{"cockroach"}},
	{"YugabyteDB", []string{"yugabyte"}},
	{PostgreSQL, []string{"postgres", "postgis", "timescale", "pgvector", "spilo", "pgvecto", "paradedb"}},
	{"MariaDB", []string{"mariadb"}},
	{"MySQL", []string{"mysql", "percona-server", "percona-xtradb"}},
	{"Redis", []string{"redis", "valkey", "keydb", "dragonfly"}},
	{"MongoDB", []string{"mongo"}},
	{"Cassandra", []string{"cassandra", "scylla"}},
	{"Elasticsearch", []string{"elasticsearch", "opensearch"}},
	{"ClickHouse", []string{"clickhouse"}},
	{"Kafka", []string{"kafka", "redpanda"}},
	{"RabbitMQ", []string{"rabbitmq"}},
	{"SQL Server", []string{"mssql", "sqlservr"}},
	{"Neo4j", []string{"neo4j"}},
	{"InfluxDB", []string{"influx"}},
	{"etcd", []string{"etcd"}},
	{"Memcached", []string{"memcached"}},
}

var enginePorts = map[int]Engine{
	PostgresPort: PostgreSQL,
	3306:         "MySQL",
	6379:         "Redis",
	27017:        "MongoDB",
	9042:         "Cassandra",
	1433:         "SQL Server",
	26257:        "CockroachDB",
}

// imageName returns the last part of an image reference, in lower case and without
// tag and digest.
func imageName(image string) string {
	image, _, _ = strings.Cut(strings.ToLower(image), "@")
	image = image[strings.LastIndex(image, "/")+1:]
	name, _, _ := strings.Cut(image, ":")
	return name
}

// commandName returns the name of the program that a container runs.
func commandName(command []string) string {
	if len(command) == 0 {
		return ""
	}
	return strings.ToLower(command[0][strings.LastIndex(command[0], "/")+1:])
}

func containsAny(s string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}
