package troupe_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var code = regexp.MustCompile("(?s)```.*?```")

var link = regexp.MustCompile(`\]\(([^)#\s]+)[^)]*\)`)

// What the documents link to is there, and nothing in them was left to be filled in.
func TestDocuments(t *testing.T) {
	n := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || path != "." && strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		n++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if gap := regexp.MustCompile(`@[A-Z]+@`).Find(text); gap != nil {
			t.Errorf("%s: %s is not filled in", path, gap)
		}
		for _, m := range link.FindAllSubmatch(code.ReplaceAll(text, nil), -1) {
			to := string(m[1])
			if strings.Contains(to, ":") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), to)); err != nil {
				t.Errorf("%s links to %s: %v", path, to, err)
			}
		}
		return nil
	})
	must(t, err)
	if n < 4 {
		t.Errorf("%d documents", n)
	}
}
