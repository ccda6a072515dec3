package troupe_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	backticks = regexp.MustCompile("`([^`]*)`")
	numbers   = regexp.MustCompile(`^(?:[0-9]{3}(?: |_))+`)
)

// spans are the parts of a text in backticks.
func spans(text string) []string {
	var list []string
	for _, m := range backticks.FindAllStringSubmatch(text, -1) {
		list = append(list, m[1])
	}
	return list
}

// parts takes a proof to pieces: the package's directory or the file, the test,
// and its subtest.
func parts(proof string) (where, test, sub string) {
	where, test, ok := strings.Cut(proof, ": ")
	if !ok || where == "" || strings.ToLower(where[:1]) != where[:1] { // the colon is one of the subtest's name
		where, test = ".", proof
	}
	if !strings.HasSuffix(where, ".mjs") {
		test, sub, _ = strings.Cut(test, "/")
	}
	return where, test, sub
}

// checkNumber fails if a subtest is named after other items than this.
func checkNumber(proof, id string) error {
	_, _, sub := parts(proof)
	named := strings.FieldsFunc(numbers.FindString(sub), func(r rune) bool { return r == ' ' || r == '_' })
	if n, err := strconv.Atoi(id); err != nil || len(named) > 0 && !slices.Contains(named, fmt.Sprintf("%03d", n)) {
		return fmt.Errorf("%q is a proof of %v", proof, named)
	}
	return nil
}

// testsOf keeps what the tests of each package say, by its directory.
type testsOf map[string]*testSource

type testSource struct {
	functions map[string]bool
	literals  map[string]bool // as names of subtests
	begins    []string        // of literals to which a name is completed by +
}

// has reports whether a subtest may have this name: a literal, or one that
// begins with numbers and what is put behind it.
func (src *testSource) has(name string) bool {
	if src.literals[name] {
		return true
	}
	for _, begin := range src.begins {
		rest, ok := strings.CutPrefix(name, begin)
		for part := range src.literals {
			if ok && part != "" && strings.HasPrefix(rest, part) {
				return true
			}
		}
		for _, kind := range []string{"poller", "goroutine", "stream", "sse", "websocket"} {
			if ok && strings.HasPrefix(rest, kind) {
				return true
			}
		}
	}
	return false
}

// check fails if a proof does not exist.
func (ts testsOf) check(proof string) error {
	where, test, sub := parts(proof)
	if strings.HasSuffix(where, ".mjs") {
		text, err := os.ReadFile(where)
		if err == nil && !strings.Contains(string(text), "("+test) {
			err = fmt.Errorf("%s has no test %s", where, test)
		}
		return err
	}
	src, err := ts.of(where)
	if err != nil {
		return err
	}
	if !src.functions[test] {
		return fmt.Errorf("package %s has no test %q", where, test)
	}
	if sub == "" || src.has(subtest(sub)) {
		return nil
	}
	for part := range strings.SplitSeq(sub, "/") {
		if !src.has(subtest(part)) {
			return fmt.Errorf("no test of package %s has a subtest %q", where, part)
		}
	}
	return nil
}

// of parses the tests of a package.
func (ts testsOf) of(dir string) (*testSource, error) {
	if src := ts[dir]; src != nil {
		return src, nil
	}
	files, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*_test.go"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no tests in %q", dir)
	}
	src := &testSource{functions: map[string]bool{}, literals: map[string]bool{}}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				for _, kind := range []string{"Test", "Fuzz", "Example"} {
					if n.Recv == nil && strings.HasPrefix(n.Name.Name, kind) {
						src.functions[n.Name.Name] = true
					}
				}
			case *ast.BasicLit:
				if text, ok := literal(n); ok {
					src.literals[subtest(text)] = true
				}
			case *ast.BinaryExpr:
				if text, ok := literal(n.X); ok && n.Op == token.ADD && numbers.MatchString(text) {
					src.begins = append(src.begins, subtest(text))
				}
			}
			return true
		})
	}
	ts[dir] = src
	return src, nil
}

// literal is what a string literal says.
func literal(x ast.Expr) (string, bool) {
	lit, ok := x.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// subtest is a name as go test prints it.
func subtest(name string) string { return strings.ReplaceAll(name, " ", "_") }
