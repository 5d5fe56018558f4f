package dump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"

	backupapi "github.com/nova/novawire/api/backup"
	"github.com/nova/novawire/backup"
	"github.com/nova/novawire/backup/codec"
	"github.com/nova/novawire/backup/pgarchive"
)

// streamWriter stores the streams of one backup: dump → count → zstd → age →
// parts → store.
type streamWriter struct {
	store      backup.Writer
	layout     Layout
	folder     string
	recipients []age.Recipient
	buffers    freeList
	progress   *backup.Progress
}

// storedStream is a stream that was stored, and its content.
type storedStream struct {
	stream   backup.Stream
	content  pgarchive.Tally
	warnings []string
}

// write stores one dump. If it fails it leaves no upload open.
func (w *streamWriter) write(ctx context.Context, dump backup.Dump, stream backup.Stream, name string) (result storedStream, err error) {
	defer func() { err = errors.Join(err, dump.Close()) }()
	objects := newObjectWriter(ctx, w.store, w.layout, w.folder, func(n int) string { return fmt.Sprintf("%s.%05d", name, n) }, w.buffers)
	defer func() {
		if err != nil {
			err = errors.Join(err, objects.abort(ctx))
		}
	}()
	packed, err := codec.NewWriter(objects, w.recipients...)
	if err != nil {
		return result, err
	}
	result.stream = stream
	result.stream.Bytes, result.content, err = w.copyDump(packed, dump, stream.Kind)
	if closed := packed.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return result, err
	}
	result.stream.Objects, err = objects.finish()
	result.warnings = dump.Warnings()
	return result, err
}

// copyDump copies a dump, and counts its content if it is an archive.
func (w *streamWriter) copyDump(to io.Writer, dump backup.Dump, kind string) (int64, pgarchive.Tally, error) {
	from := w.progress.Reader(dump)
	if kind == backup.StreamGlobals {
		n, tail, err := copyKeepingTail(to, from)
		if err == nil && !strings.Contains(tail, "database cluster dump complete") {
			err = backup.Fail(backupapi.CategorySource, errors.New("the dump of roles ends too early"))
		}
		return n, pgarchive.Tally{}, err
	}
	n, content, err := pgarchive.Copy(to, from)
	if errors.Is(err, pgarchive.ErrFormat) {
		err = backup.Fail(backupapi.CategorySource, fmt.Errorf("pg_dump ended well, but wrote %w", err))
	}
	return n, content, err
}

// copyKeepingTail copies a stream and returns its last bytes.
func copyKeepingTail(to io.Writer, from io.Reader) (n int64, tail string, err error) {
	buffer := make([]byte, 64<<10)
	for {
		k, readErr := from.Read(buffer)
		n += int64(k)
		tail = lastBytes(tail+string(buffer[:k]), 512)
		if _, err := to.Write(buffer[:k]); err != nil {
			return n, tail, err
		}
		if errors.Is(readErr, io.EOF) {
			return n, tail, nil
		}
		if readErr != nil {
			return n, tail, readErr
		}
	}
}

func lastBytes(s string, n int) string { return s[max(0, len(s)-n):] }
