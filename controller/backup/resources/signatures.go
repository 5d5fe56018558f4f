package resources

import (
	corev1 "k8s.io/api/core/v1"

	backupapi "github.com/nova/novawire/api/backup"
)

// signatureKey is a Secret with keys for signatures, and how a pod sees it.
type signatureKey struct {
	secret                      backupapi.SecretKey
	volume, directory, variable string
}

const (
	signingVolume = "signing"
	verifyVolume  = "verify"
	signatureFile = "key"
)

// signatureKeys returns the keys of a verb. Only what signs gets a private key: a
// backup that for manifests, a drill that for evidence.
func signatureKeys(t Target, verb string) (keys []signatureKey) {
	add := func(secret backupapi.SecretKey, volume, directory, variable string) {
		if secret.Name != "" {
			keys = append(keys, signatureKey{secret, volume, directory, variable})
		}
	}
	switch evidence := t.Request.EvidenceKey; {
	case verb == VerbRun, verb == VerbDrill && evidence.Name == "":
		add(t.Request.SigningKey, signingVolume, signingDirectory, backupapi.EnvSigningKeyFile)
	case verb == VerbDrill:
		add(evidence, signingVolume, signingDirectory, backupapi.EnvSigningKeyFile)
	}
	add(t.Request.VerifyKey, verifyVolume, verifyDirectory, backupapi.EnvVerifyKeyFile)
	return keys
}

func (k signatureKey) source() corev1.VolumeSource {
	return corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
		SecretName: k.secret.Name, Items: []corev1.KeyToPath{{Key: k.secret.Key, Path: signatureFile}},
	}}
}
