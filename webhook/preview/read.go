package preview

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Read reads files, folders and "-", which is stdin. Of a folder it reads all .yaml,
// .yml and .json files below it, in the order of their names, except kustomization
// files. It returns all documents without mistakes, and an error with all mistakes.
func Read(paths []string, stdin io.Reader) ([]*Document, error) {
	var documents []*Document
	var mistakes Mistakes
	for _, path := range paths {
		files, err := expand(path)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		for _, file := range files {
			text, err := readFile(file, stdin)
			if err != nil {
				mistakes = append(mistakes, err)
				continue
			}
			for _, p := range split(text) {
				documents = append(documents, &Document{file: file, lead: p.lead, text: p.text, line: p.line, json: p.json})
			}
		}
	}
	parallel(len(documents), func(i int) { documents[i].parse() })
	for _, d := range documents {
		mistakes = append(mistakes, d.mistakes...)
	}
	return documents, mistakes.orNil()
}

// CountObjects returns how many Kubernetes objects the documents have.
func CountObjects(documents []*Document) (n int) {
	for _, d := range documents {
		n += len(d.objects)
	}
	return n
}

func readFile(name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(stdin)
	}
	text, err := os.ReadFile(name)
	return text, pathError(name, err)
}

func pathError(path string, err error) error {
	var wrong *fs.PathError
	if errors.As(err, &wrong) {
		return fmt.Errorf("%s: %w", path, wrong.Err)
	}
	return err
}

// expand returns the manifests of a path. It follows links, also to folders.
func expand(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, pathError(path, err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	files, err := manifests(path, nil)
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s: the folder has no .yaml, .yml or .json file", path)
	}
	return files, err
}

// manifests returns the manifests in a folder and below it. parents are the folders
// above it, without links, so that a link to one of them is not followed.
func manifests(folder string, parents []string) (files []string, err error) {
	real, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return nil, pathError(folder, err)
	}
	if slices.Contains(parents, real) {
		return nil, nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, pathError(folder, err)
	}
	for _, entry := range entries {
		name := filepath.Join(folder, entry.Name())
		info, err := os.Stat(name)
		switch {
		case err != nil:
			return nil, pathError(name, err)
		case info.IsDir():
			below, err := manifests(name, append(slices.Clone(parents), real))
			if err != nil {
				return nil, err
			}
			files = append(files, below...)
		case isManifest(entry.Name()):
			files = append(files, name)
		}
	}
	return files, nil
}

func isManifest(name string) bool {
	if strings.HasPrefix(name, "kustomization.") {
		return false
	}
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}
