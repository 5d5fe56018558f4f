package backup

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors of a store.
var (
	// ErrNotFound says that there is no such object.
	ErrNotFound = errors.New("no such object")
	// ErrExists says that an object is there that must not be.
	ErrExists = errors.New("the object exists already")
	// ErrUnsigned says that an object is not signed by a key that is trusted. A store
	// that verifies signatures returns it, with the category verify.
	ErrUnsigned = errors.New("it is not signed by a trusted key")
)

// Object is one stored object.
type Object struct {
	Key      string // below the store's prefix
	Size     int64
	Modified time.Time // by the store's clock
	ETag     string    // changes with the content; "" where the store has none
}

// version tells two contents of one key apart.
func (o Object) version() string {
	if o.ETag != "" {
		return o.ETag
	}
	return o.Modified.UTC().Format(time.RFC3339Nano)
}

// Unfinished is an upload in parts that was begun and not completed.
type Unfinished struct {
	Key, Upload string
	Begun       time.Time // by the store's clock
}

// Reader reads objects.
type Reader interface {
	// List calls each for every object whose key begins with the prefix, in the
	// order of keys.
	List(ctx context.Context, prefix string, each func(Object) error) error
	// Open reads an object from its beginning. A connection that breaks is taken
	// up again where it broke. ErrNotFound if there is none.
	Open(ctx context.Context, key string) (io.ReadCloser, error)
	// Stat tells an object's size and age. ErrNotFound if there is none.
	Stat(ctx context.Context, key string) (Object, error)
}

// Writer writes objects. An object is visible whole or not at all.
type Writer interface {
	// Put writes a small object.
	Put(ctx context.Context, key string, body []byte) error
	// PutNew does so if there is none of that key, else ErrExists.
	PutNew(ctx context.Context, key string, body []byte) error
	// Begin starts an object that is written in parts.
	Begin(ctx context.Context, key string) (Upload, error)
}

// Upload is an object that is being written in parts. Parts may be written at
// the same time; all but the last have one size.
type Upload interface {
	// Part writes a part, numbered from 1. body is the caller's again on return.
	Part(ctx context.Context, number int, body []byte) error
	// Complete makes the object visible.
	Complete(ctx context.Context) error
	// Abort leaves nothing behind.
	Abort(ctx context.Context) error
}

// Remover deletes.
type Remover interface {
	// Now is the store's clock, which lifecycle rules and locks go by.
	Now(ctx context.Context) (time.Time, error)
	// Delete removes objects; it is no error if one is gone already.
	Delete(ctx context.Context, keys ...string) error
	// LockedUntil tells until when an object must not be deleted; the zero time if
	// it may be.
	LockedUntil(ctx context.Context, key string) (time.Time, error)
	// Unfinished lists uploads that were begun and not completed.
	Unfinished(ctx context.Context, each func(Unfinished) error) error
	// Discard ends such an upload.
	Discard(ctx context.Context, upload Unfinished) error
}

// Protection is one property of a store, for people.
type Protection struct{ Question, Answer string }

// Store is all of it.
type Store interface {
	Reader
	Writer
	Remover
	// Protection describes what guards the content from deletion, change and strangers. It
	// has no error: what the store does not say, or may not be asked, is an answer too.
	Protection(ctx context.Context) []Protection
	// Location names the place for people: s3://bucket/prefix.
	Location() string
}
