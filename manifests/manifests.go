// Package manifests embeds the manifests that the command line compares a cluster with.
package manifests

import _ "embed"

// Webhooks are the webhook configurations of every installation.
//
//go:embed base/webhooks.yaml
var Webhooks []byte

// Rights are the ClusterRoles of every installation.
//
//go:embed base/rbac.yaml
var Rights []byte

// BackupRights are those of an installation with backups.
//
//go:embed base/backup-rbac.yaml
var BackupRights []byte
