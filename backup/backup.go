// Package backup is the domain of pg-backup: how databases become backups in an
// object store, when a backup counts, when it may go, and how it comes back.
//
// A backup is a folder of objects and a manifest.json. The manifest is written
// last, on the condition that none is there: it is the commit. Without it there
// is no backup; list, restore, verify and prune look at manifests only.
//
// The package knows neither PostgreSQL's protocol nor S3's: [Source], [Target]
// and [Store] do. It has no clock and reads no environment.
package backup
