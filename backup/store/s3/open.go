package s3

import (
	"fmt"
	"strings"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/internal/aws/credentials"
)

// Open opens the store of an s3://bucket/prefix URL. setting returns variables of
// pg-backup's environment. The category of its errors is usage or permission.
func Open(location string, setting func(name string) string) (backup.Store, error) {
	bucket, prefix, err := backupapi.SplitBucket(location)
	if err != nil {
		return nil, backup.Fail(backupapi.CategoryUsage, fmt.Errorf("read %s: %w", backupapi.EnvS3Bucket, err))
	}
	encryption, key := setting(backupapi.EnvServerEncryption), setting(backupapi.EnvKMSKey)
	if key != "" && !strings.HasPrefix(encryption, "aws:kms") {
		return nil, backup.Fail(backupapi.CategoryUsage, fmt.Errorf("%s is set, but %s is not aws:kms: the key would not be used", backupapi.EnvKMSKey, backupapi.EnvServerEncryption))
	}
	mode, days, err := backupapi.SplitObjectLock(setting(backupapi.EnvObjectLock))
	if err != nil {
		return nil, backup.Fail(backupapi.CategoryUsage, fmt.Errorf("read %s: %w", backupapi.EnvObjectLock, err))
	}
	noChecksum := setting(backupapi.EnvS3Checksum) == "none"
	if mode != "" && noChecksum {
		return nil, backup.Fail(backupapi.CategoryUsage, fmt.Errorf("%s is set, but %s turns checksums off: a locked upload needs one", backupapi.EnvObjectLock, backupapi.EnvS3Checksum))
	}
	region := setting(backupapi.EnvAWSRegion)
	provider, err := credentials.Find(setting, credentials.Options{Region: region, InstanceRole: true})
	if err != nil {
		return nil, backup.Fail(backupapi.CategoryPermission, err)
	}
	return New(Settings{
		Bucket: bucket, Prefix: prefix, Region: region, Endpoint: setting(backupapi.EnvS3Endpoint), Credentials: provider,
		Encryption: encryption, KMSKey: key, NoChecksum: noChecksum, LockMode: strings.ToUpper(mode), LockDays: days,
	}), nil
}
