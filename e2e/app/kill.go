package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// kill kills every process of the pod with the program's name, without a chance to end in
// order. The pod must share its process namespace.
func kill(w http.ResponseWriter, r *http.Request) {
	program, killed := r.URL.Query().Get("program"), 0
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range commands {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		command, _, _ := strings.Cut(string(text), "\x00")
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && filepath.Base(command) == program && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	}
	fmt.Fprint(w, killed)
}
