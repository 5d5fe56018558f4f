package main

import (
	"os"
	"testing"

	"github.com/nova/novawire/internal/testing/cluster"
)

func TestMain(m *testing.M) {
	if arguments := os.Getenv(previewVariable); arguments != "" {
		os.Exit(benchPreview(arguments))
	}
	os.Exit(cluster.Run(m))
}
