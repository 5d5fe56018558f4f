package resources

import (
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	backupapi "github.com/nova/novawire/api/backup"
)

func mounts(t Target, verb string) []corev1.VolumeMount {
	m := []corev1.VolumeMount{{Name: "tools", MountPath: toolsDirectory, ReadOnly: true}}
	if t.Request.AWSSecret != "" {
		m = append(m, corev1.VolumeMount{Name: "aws", MountPath: awsDirectory, ReadOnly: true})
	}
	if _, ok := encryptionSecret(t, verb); ok {
		m = append(m, corev1.VolumeMount{Name: "age", MountPath: ageDirectory, ReadOnly: true})
	}
	if copySecret(t, verb) != "" {
		m = append(m, corev1.VolumeMount{Name: copyVolume, MountPath: copyDirectory, ReadOnly: true})
	}
	for _, key := range signatureKeys(t, verb) {
		m = append(m, corev1.VolumeMount{Name: key.volume, MountPath: key.directory, ReadOnly: true})
	}
	if reachesDatabase(verb) {
		m = append(m, connectionOf(t).mounts...)
	}
	if verb == VerbDrill {
		m = append(m,
			// initdb requires an entry for the user in /etc/passwd.
			corev1.VolumeMount{Name: "tools", MountPath: "/etc/passwd", SubPath: "passwd", ReadOnly: true},
			corev1.VolumeMount{Name: "scratch", MountPath: scratchDirectory})
	}
	return m
}

// encryptionSecret returns the Secret that a verb needs to encrypt or to decrypt.
func encryptionSecret(t Target, verb string) (corev1.SecretVolumeSource, bool) {
	secret, file := t.Request.EncryptionRecipients, "recipients"
	if readsBackups(verb) {
		secret, file = t.Request.EncryptionIdentity, "identity"
	} else if verb != VerbRun {
		secret = backupapi.SecretKey{}
	}
	return corev1.SecretVolumeSource{SecretName: secret.Name, Items: []corev1.KeyToPath{{Key: secret.Key, Path: file}}}, secret.Name != ""
}

func (c Config) volumes(t Target, verb string) []corev1.Volume {
	tools := resource.MustParse("64Mi")
	v := []corev1.Volume{{Name: "tools", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{SizeLimit: &tools}}}}
	if t.Request.AWSSecret != "" {
		v = append(v, corev1.Volume{Name: "aws", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: t.Request.AWSSecret}}})
	}
	if secret, ok := encryptionSecret(t, verb); ok {
		v = append(v, corev1.Volume{Name: "age", VolumeSource: corev1.VolumeSource{Secret: &secret}})
	}
	if name := copySecret(t, verb); name != "" {
		v = append(v, corev1.Volume{Name: copyVolume, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: name}}})
	}
	for _, key := range signatureKeys(t, verb) {
		v = append(v, corev1.Volume{Name: key.volume, VolumeSource: key.source()})
	}
	if reachesDatabase(verb) {
		v = append(v, connectionOf(t).volumes...)
	}
	if verb == VerbDrill {
		v = append(v, corev1.Volume{Name: "scratch", VolumeSource: c.Scratch.volumeSource(t.Status)})
	}
	return v
}

// restoredPerDumped is the space on disk for each dumped byte: rows, indexes and
// write-ahead log.
const restoredPerDumped = 3

// size returns the volume size that fits the largest database of the newest backup.
func (s Scratch) size(status backupapi.Status) resource.Quantity {
	size := s.Minimum.DeepCopy()
	for _, d := range status.Databases {
		// Whole gibibytes, so that a growing database does not change its CronJob
		// every night.
		gibibytes := math.Ceil(float64(d.Bytes) * restoredPerDumped / (1 << 30))
		if room := resource.NewQuantity(int64(gibibytes)<<30, resource.BinarySI); size.Cmp(*room) < 0 {
			size = *room
		}
	}
	return size
}

func (s Scratch) volumeSource(status backupapi.Status) corev1.VolumeSource {
	size := s.size(status)
	if s.StorageClass == "" {
		return corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: s.Medium, SizeLimit: &size}}
	}
	class := s.StorageClass
	return corev1.VolumeSource{Ephemeral: &corev1.EphemeralVolumeSource{VolumeClaimTemplate: &corev1.PersistentVolumeClaimTemplate{
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, StorageClassName: &class,
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: size}},
		},
	}}}
}
