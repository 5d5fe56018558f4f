package main

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"golang.org/x/tools/go/packages"
)

// pkg is a package whose tests are measured.
type pkg struct {
	path   string // import path, below the module's
	folder string
	name   string
	fset   *token.FileSet
	files  []*ast.File
	info   *types.Info
	only   []string // base names of the files that are mutated; nil for all
}

// load loads the packages of patterns, each with the files that are mutated behind a
// colon, or without one for all files.
func load(folder string, patterns []string) (result []pkg, err error) {
	for _, pattern := range patterns {
		path, files, _ := strings.Cut(pattern, ":")
		loaded, err := loadPackages(folder, path)
		if err != nil {
			return nil, err
		}
		for _, p := range loaded {
			if files != "" {
				p.only = strings.Split(files, ",")
			}
			result = append(result, p)
		}
	}
	return result, nil
}

func loadPackages(folder, pattern string) ([]pkg, error) {
	loaded, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedSyntax |
			packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports | packages.NeedDeps | packages.NeedModule,
		Dir: folder,
	}, pattern)
	if err != nil {
		return nil, err
	}
	var result []pkg
	for _, l := range loaded {
		if len(l.Errors) > 0 {
			return nil, l.Errors[0]
		}
		if len(l.GoFiles) == 0 {
			continue
		}
		path := strings.TrimPrefix(l.PkgPath, l.Module.Path+"/")
		result = append(result, pkg{path: path, folder: filepath.Dir(l.GoFiles[0]), name: l.Name, fset: l.Fset, files: l.Syntax, info: l.TypesInfo})
	}
	return result, nil
}

// mutant is one change.
type mutant struct {
	id       int
	path     string // of the package
	file     string // base name
	line     int
	function string
	change   string
	nth      int // among equal changes of the function
	reached  bool
}

// key names the mutant in the list of accepted survivors. It holds no line number,
// so that it outlives changes elsewhere in the file.
func (m mutant) key() string {
	key := fmt.Sprintf("%s/%s %s: %s", m.path, m.file, m.function, m.change)
	if m.nth > 0 {
		key += fmt.Sprintf(" #%d", m.nth+1)
	}
	return key
}

func (m mutant) where() string {
	return fmt.Sprintf("%s/%s:%d %s: %s", m.path, m.file, m.line, m.function, m.change)
}

type mutation struct {
	mutants []mutant
	sources map[string][]byte // changed files by their path
}

// edit replaces the source from start to end. An edit may lie within another one:
// its text then is part of the outer one's.
type edit struct {
	start, end    int
	before, after string // put around what stands between
}

// mutator writes the mutants of one file.
type mutator struct {
	pkg      pkg
	src      []byte
	file     *token.File
	name     string
	function string
	edits    []edit
	found    *[]mutant
	seen     map[string]int
	skip     map[int]bool // lines whose mutants do not compile
}

func mutate(p pkg) mutation { return p.mutate(nil) }

func (p pkg) mutate(skip map[string]map[int]bool) mutation {
	m := mutation{sources: map[string][]byte{}}
	seen := map[string]int{}
	for _, f := range p.files {
		position := p.fset.Position(f.Package)
		if strings.HasSuffix(position.Filename, "_test.go") || !strings.HasPrefix(position.Filename, p.folder+string(filepath.Separator)) {
			continue
		}
		name := filepath.Base(position.Filename)
		if p.only != nil && !slices.Contains(p.only, name) {
			continue
		}
		src, err := os.ReadFile(position.Filename)
		if err != nil {
			continue
		}
		w := &mutator{pkg: p, src: src, file: p.fset.File(f.Package), name: name, found: &m.mutants, seen: seen, skip: skip[name]}
		for _, d := range f.Decls {
			w.declaration(d)
		}
		if len(w.edits) > 0 {
			m.sources[position.Filename] = w.apply()
		}
	}
	return m
}

// declaration mutates functions, and function literals in package variables.
func (w *mutator) declaration(d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Body == nil {
			return
		}
		w.function = d.Name.Name
		if d.Recv != nil && len(d.Recv.List) == 1 {
			w.function = receiver(d.Recv.List[0].Type) + "." + w.function
		}
		w.body(d.Body, d.Type)
	case *ast.GenDecl:
		for _, s := range d.Specs {
			if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.VAR {
				w.function = v.Names[0].Name
				for _, value := range v.Values {
					ast.Inspect(value, func(n ast.Node) bool {
						if f, ok := n.(*ast.FuncLit); ok {
							w.body(f.Body, f.Type)
							return false
						}
						return true
					})
				}
			}
		}
	}
}

func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return "?"
}

// body visits every statement and expression of a function.
func (w *mutator) body(body *ast.BlockStmt, signature *ast.FuncType) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			w.body(n.Body, n.Type)
			return false
		case *ast.BlockStmt:
			w.statements(n.List)
		case *ast.CaseClause:
			w.statements(n.Body)
		case *ast.CommClause:
			w.statements(n.Body)
		case *ast.IfStmt:
			w.condition(n.Cond)
		case *ast.ForStmt:
			if n.Cond != nil {
				w.condition(n.Cond)
			}
		case *ast.ReturnStmt:
			w.results(n)
		case *ast.BinaryExpr:
			w.binary(n)
		}
		return true
	})
	_ = signature
}

// statements makes each statement with an effect one that may be left out.
func (w *mutator) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt:
			if call, ok := s.X.(*ast.CallExpr); !ok || w.ends(call) {
				continue
			}
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE || isBlank(s.Lhs) {
				continue
			}
		case *ast.IncDecStmt, *ast.SendStmt, *ast.DeferStmt:
		default:
			continue
		}
		w.wrap(s, "leave out "+w.text(s), "if !mutantOn(%d) { ", " }")
	}
}

// ends reports whether a call does not return: left out, the function would lack a
// return statement.
func (w *mutator) ends(call *ast.CallExpr) bool {
	id, ok := call.Fun.(*ast.Ident)
	return ok && id.Name == "panic"
}

func isBlank(list []ast.Expr) bool {
	for _, e := range list {
		if id, ok := e.(*ast.Ident); !ok || id.Name != "_" {
			return false
		}
	}
	return true
}

// condition negates what decides a branch, unless it is made of comparisons, which
// have mutants of their own.
func (w *mutator) condition(e ast.Expr) {
	if _, ok := ast.Unparen(e).(*ast.BinaryExpr); !ok {
		w.wrap(e, "negate "+w.text(e), "mutantOn(%d) != (", ")")
	}
}

// results negates booleans that are returned, and returns nil for errors.
func (w *mutator) results(r *ast.ReturnStmt) {
	for _, e := range r.Results {
		t, ok := w.pkg.info.Types[e]
		if !ok || t.IsNil() {
			continue
		}
		switch {
		case types.Identical(t.Type, types.Universe.Lookup("error").Type()):
			w.wrap(e, "return nil for "+w.text(e), "mutantNil(%d, ", ")")
		case isBool(t.Type) && !isBinary(e):
			w.wrap(e, "return not "+w.text(e), "mutantOn(%d) != (", ")")
		}
	}
}

func isBinary(e ast.Expr) bool { _, ok := ast.Unparen(e).(*ast.BinaryExpr); return ok }

func isBool(t types.Type) bool {
	b, ok := t.(*types.Basic)
	return ok && b.Info()&types.IsBoolean != 0
}

func (w *mutator) binary(e *ast.BinaryExpr) {
	x, y := w.text(e.X), w.text(e.Y)
	if t := w.pkg.info.Types[e]; t.Value != nil || strings.Contains(x+y, "\n") {
		return // a constant, or lines that may not be doubled
	}
	say := func(op string) string { return fmt.Sprintf("%s for %s", op, w.text(e)) }
	switch e.Op {
	case token.EQL:
		w.wrap(e, say("!="), "mutantOn(%d) != (", ")")
	case token.NEQ:
		w.wrap(e, say("=="), "mutantOn(%d) != (", ")")
	case token.LSS, token.GTR:
		w.wrap(e, say(e.Op.String()+"="), "(mutantOn(%d) && ("+x+") == ("+y+") || (", "))")
		w.wrap(e, say("not "+e.Op.String()), "mutantOn(%d) != (", ")")
	case token.LEQ, token.GEQ:
		w.wrap(e, say(e.Op.String()[:1]), "(!(mutantOn(%d) && ("+x+") == ("+y+")) && (", "))")
		w.wrap(e, say("not "+e.Op.String()), "mutantOn(%d) != (", ")")
	case token.LAND:
		w.wrap(e, say("||"), "(mutantOn(%d) && (("+x+") || ("+y+")) || (", "))")
	case token.LOR:
		w.wrap(e, say("&&"), "((!mutantOn(%d) || (("+x+") && ("+y+"))) && (", "))")
	case token.ADD, token.SUB, token.MUL, token.QUO:
		other := map[token.Token]string{token.ADD: "-", token.SUB: "+", token.MUL: "+", token.QUO: "*"}[e.Op]
		if b, ok := w.pkg.info.Types[e].Type.Underlying().(*types.Basic); ok && b.Info()&types.IsNumeric != 0 && b.Info()&types.IsUntyped == 0 {
			w.wrap(e, say(other), "mutantPick(%d, ("+x+") "+other+" ("+y+"), ", ")")
		}
	}
}

// text is the source of a node.
func (w *mutator) text(n ast.Node) string {
	return string(w.src[w.file.Offset(n.Pos()):w.file.Offset(n.End())])
}

// wrap adds a mutant whose switch is written around a node.
func (w *mutator) wrap(n ast.Node, change, before, after string) {
	line := w.file.Line(n.Pos())
	if w.skip[line] {
		return
	}
	change = strings.Join(strings.Fields(change), " ")
	if len(change) > 120 {
		change = change[:120] + "…"
	}
	key := w.name + w.function + change
	m := mutant{id: len(*w.found) + 1, path: w.pkg.path, file: w.name, line: line, function: w.function, change: change, nth: w.seen[key]}
	w.seen[key]++
	*w.found = append(*w.found, m)
	w.edits = append(w.edits, edit{w.file.Offset(n.Pos()), w.file.Offset(n.End()), fmt.Sprintf(before, m.id), after})
}

// apply returns the file with every switch in it, on the lines where it was.
func (w *mutator) apply() []byte {
	type insert struct {
		at    int
		order int
		text  string
	}
	var inserts []insert
	for i, e := range w.edits {
		size := e.end - e.start
		// Outer parts come first where they begin, and last where they end.
		inserts = append(inserts, insert{e.start, -size*1000 + i, e.before}, insert{e.end, size*1000 - i, e.after})
	}
	sort.SliceStable(inserts, func(i, j int) bool {
		a, b := inserts[i], inserts[j]
		if a.at != b.at {
			return a.at < b.at
		}
		closesA, closesB := a.order > 0, b.order > 0
		if closesA != closesB {
			return closesA // what ends here ends before something begins
		}
		return a.order < b.order
	})
	var out []byte
	at := 0
	for _, in := range inserts {
		out = append(append(out, w.src[at:in.at]...), in.text...)
		at = in.at
	}
	return append(out, w.src[at:]...)
}
