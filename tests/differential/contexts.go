package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Random directories with an ignore file: what `imagewright context` shows, what the current rules say, and what is in
// an image that `COPY . /` makes of it. The BuildKit of docker 20.10 has older rules; where they say something else,
// the image must be as they say, and ours as the current ones say.

// A node is a file, directory or symlink. Directories above it are there, too.
type node struct {
	path   string
	kind   string // file, dir, symlink
	mode   uint32
	target string
}

// Where the Dockerfile and the ignore file are.
type layout int

const (
	plain          layout = iota // Dockerfile and .dockerignore
	lowercase                    // dockerfile and .dockerignore
	beside                       // Dockerfile, Dockerfile.dockerignore, and a .dockerignore that does not count
	outside                      // a Dockerfile elsewhere, its ignore file beside it, and such a .dockerignore
	outsideWithout               // a Dockerfile elsewhere, and .dockerignore
)

type contextCase struct {
	file   []byte
	nodes  []node
	layout layout
}

// What a context or an image holds: for each path its type, mode and target.
type listing map[string]string

func randomCase(seed int64, number int) contextCase {
	r := randomOf(seed, number)
	var c contextCase
	kinds := map[string]string{}
	var paths []string
	for count := 6 + r.Intn(14); len(c.nodes) < count; {
		path := randomPath(r, false)
		if len(paths) > 0 && chance(r, 50) {
			// In or beside what is there already.
			path = paths[r.Intn(len(paths))]
			if kinds[path] != "dir" {
				path = filepath.Dir(path)
			}
			path = filepath.Join(path, randomPath(r, false))
		}
		if !isFree(path, kinds) || strings.Count(path, "/") > 6 {
			continue
		}
		n := randomNode(r, path)
		kinds[path] = n.kind
		for up := filepath.Dir(path); up != "."; up = filepath.Dir(up) {
			if kinds[up] == "" {
				kinds[up] = "dir"
				c.nodes = append(c.nodes, node{up, "dir", randomDirectoryMode(r), ""})
			}
		}
		c.nodes = append(c.nodes, n)
		paths = append(paths, path)
	}
	c.file = randomIgnoreFile(r, paths, 6, false)
	c.layout = layout([]int{0, 0, 0, 0, 0, 1, 2, 3, 3, 4}[r.Intn(10)])
	return c
}

// isFree says whether something new can be there: nothing is, and nothing above it is other than a directory.
func isFree(path string, kinds map[string]string) bool {
	switch strings.ToLower(path) {
	case "dockerfile", ".dockerignore", "dockerfile.dockerignore":
		return false
	}
	if kinds[path] != "" {
		return false
	}
	for up := filepath.Dir(path); up != "."; up = filepath.Dir(up) {
		if kinds[up] != "" && kinds[up] != "dir" {
			return false
		}
	}
	return true
}

func randomDirectoryMode(r *rand.Rand) uint32 {
	return []uint32{0o755, 0o755, 0o755, 0o700, 0o775, 0o1777, 0o2755}[r.Intn(7)]
}

func randomNode(r *rand.Rand, path string) node {
	switch r.Intn(10) {
	case 0, 1:
		return node{path, "dir", randomDirectoryMode(r), ""}
	case 2:
		return node{path, "symlink", 0o777, one(r, "a", "../a", "/a", "nowhere", ".", "a b")}
	default:
		return node{path, "file", []uint32{0o644, 0o644, 0o755, 0o600, 0o444, 0o4755, 0o664}[r.Intn(7)], ""}
	}
}

const dockerfile = "FROM scratch\nCOPY . /\n"

// allNodes adds the Dockerfile and the ignore file, where they lie in the context.
func (c contextCase) allNodes() []node {
	extra := map[layout][]string{
		plain:          {"Dockerfile", ".dockerignore"},
		lowercase:      {"dockerfile", ".dockerignore"},
		beside:         {"Dockerfile", "Dockerfile.dockerignore", ".dockerignore"},
		outside:        {".dockerignore"},
		outsideWithout: {".dockerignore"},
	}[c.layout]
	all := append([]node{}, c.nodes...)
	for _, name := range extra {
		all = append(all, node{name, "file", 0o644, ""})
	}
	return all
}

// write makes the context as BASE and what lies outside of it as BASE-outside. It gives docker's arguments, but for the
// context.
func (c contextCase) write(base string) []string {
	must(os.MkdirAll(base, 0o755))
	nodes := c.allNodes()
	sort.Slice(nodes, func(i, j int) bool { return nodes[i].path < nodes[j].path })
	for _, n := range nodes {
		path := base + "/" + n.path
		switch n.kind {
		case "dir":
			must(os.MkdirAll(path, 0o755))
		case "symlink":
			must(os.Symlink(n.target, path))
		default:
			must(os.WriteFile(path, []byte(n.path), 0o644))
		}
	}
	for i := len(nodes) - 1; i >= 0; i-- {
		if n := nodes[i]; n.kind != "symlink" {
			must(os.Chmod(base+"/"+n.path, chmodOf(n.mode)))
		}
	}
	write := func(path, text string) { must(os.WriteFile(path, []byte(text), 0o644)) }
	config := "builder:\n  images:\n  - name: test/case\n    from: " + filepath.Base(base) + "\n"
	decoy := "*\n"
	var arguments []string
	switch c.layout {
	case plain:
		write(base+"/Dockerfile", dockerfile)
		write(base+"/.dockerignore", string(c.file))
	case lowercase:
		write(base+"/dockerfile", dockerfile)
		write(base+"/.dockerignore", string(c.file))
	case beside:
		write(base+"/Dockerfile", dockerfile)
		write(base+"/Dockerfile.dockerignore", string(c.file))
		write(base+"/.dockerignore", decoy)
	case outside, outsideWithout:
		elsewhere := base + "-outside"
		must(os.Mkdir(elsewhere, 0o755))
		write(elsewhere+"/App", dockerfile)
		if c.layout == outside {
			write(elsewhere+"/App.dockerignore", string(c.file))
			write(base+"/.dockerignore", decoy)
		} else {
			write(base+"/.dockerignore", string(c.file))
		}
		arguments = []string{"-f", elsewhere + "/App"}
		config += "    dockerfile: ../" + filepath.Base(elsewhere) + "/App\n"
	}
	write(base+".yml", config)
	return arguments
}

func must(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func chmodOf(mode uint32) os.FileMode {
	out := os.FileMode(mode & 0o777)
	for bit, meaning := range map[uint32]os.FileMode{0o4000: os.ModeSetuid, 0o2000: os.ModeSetgid, 0o1000: os.ModeSticky} {
		if mode&bit != 0 {
			out |= meaning
		}
	}
	return out
}

// expected is what a context holds by these rules.
func (c contextCase) expected(r rules) (listing, error) {
	below := map[string][]node{}
	for _, n := range c.allNodes() {
		up := filepath.Dir(n.path)
		below[up] = append(below[up], n)
	}
	result := listing{}
	// list says whether anything in the directory is sent.
	var list func(directory string, info any) (bool, error)
	list = func(directory string, info any) (bool, error) {
		any := false
		for _, n := range below[directory] {
			ignored, inside, err := r.match(n.path, info)
			if err != nil {
				return false, err
			}
			needed := false
			if n.kind == "dir" && (!ignored || r.enters(n.path)) {
				if needed, err = list(n.path, inside); err != nil {
					return false, err
				}
				needed = needed || r.sendsEmpty()
			}
			if !ignored || needed {
				any = true
				result[n.path] = fmt.Sprintf("%s %04o %s", n.kind, n.mode, n.target)
			}
		}
		return any, nil
	}
	_, err := list(".", r.root())
	return result, err
}

// ours asks imagewright. It also says whether we warned of an odd pattern: then we may include more.
func ours(imagewright, base string) (result listing, odd bool, err error) {
	command := exec.Command(imagewright, "context", "test/case", base+".yml", "--json")
	var errors bytes.Buffer
	command.Stderr = &errors
	out, err := command.Output()
	if err != nil {
		return nil, false, fmt.Errorf("%s", strings.TrimSpace(errors.String()))
	}
	var entries []struct{ Path, Type, Mode, Target string }
	if err := json.Unmarshal(out, &entries); err != nil {
		return nil, false, err
	}
	result = listing{}
	for _, entry := range entries {
		result[entry.Path] = fmt.Sprintf("%s %s %s", entry.Type, entry.Mode, entry.Target)
	}
	return result, strings.Contains(errors.String(), "differently by different engines"), nil
}

// built asks BuildKit.
func built(docker, base string, arguments []string) (listing, error) {
	arguments = append([]string{"build", "--progress=plain", "-o", "-"}, arguments...)
	command := exec.Command(docker, append(arguments, base)...)
	command.Env = append(os.Environ(), "DOCKER_BUILDKIT=1")
	var messages bytes.Buffer
	command.Stderr = &messages
	out, err := command.Output()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(messages.String()), "\n")
		return nil, errors.New(lines[len(lines)-1])
	}
	result := listing{}
	for reader := tar.NewReader(bytes.NewReader(out)); ; {
		header, err := reader.Next()
		if err == io.EOF {
			return result, nil
		}
		if err != nil {
			return nil, err
		}
		kind := map[byte]string{tar.TypeDir: "dir", tar.TypeReg: "file", tar.TypeSymlink: "symlink"}[header.Typeflag]
		if kind == "" {
			kind = string(header.Typeflag)
		}
		path := strings.TrimSuffix(header.Name, "/")
		result[path] = fmt.Sprintf("%s %04o %s", kind, header.Mode&0o7777, header.Linkname)
	}
}

// difference says how one listing is not another.
func difference(a, b listing) string {
	var lines []string
	for path, what := range a {
		if b[path] != what {
			lines = append(lines, fmt.Sprintf("%q: %q, not %q", path, what, b[path]))
		}
	}
	for path, what := range b {
		if _, there := a[path]; !there {
			lines = append(lines, fmt.Sprintf("%q: \"\", not %q", path, what))
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "; ")
}

func without(a, b listing) listing {
	rest := listing{}
	for path, what := range a {
		if _, there := b[path]; !there {
			rest[path] = what
		}
	}
	return rest
}

// The differences of docker 20.10, each alone.
var olderAlone = []struct {
	what string
	how  older
}{
	{"patterns are regular expressions", older{texts: true}},
	{"** at the beginning", older{suffixes: true}},
	{"what was found out of directories is forgotten", older{stateless: true}},
	{"ignored directories are not entered", older{prunes: true}},
	{"ignored directories are sent empty", older{empty: true}},
}

const same = "are the same for all: BuildKit, the current rules and us"

// compare builds one case as BASE. It says what kinds of case it is, or what is wrong.
func (c contextCase) compare(imagewright, docker, base string) (kinds []string, wrong string) {
	arguments := c.write(base)
	mine, odd, myError := ours(imagewright, base)
	image, buildError := built(docker, base, arguments)

	var now listing
	current, currentError := parseCurrent(c.file)
	if currentError == nil {
		now, currentError = c.expected(current)
	}
	lines, _ := readIgnoreFile(c.file)
	anyMalformed := false
	for _, line := range lines {
		anyMalformed = anyMalformed || isMalformed(line)
	}
	switch {
	case myError != nil && !anyMalformed:
		return nil, fmt.Sprintf("we refuse it: %v", myError)
	case myError == nil && currentError != nil && !odd:
		return nil, fmt.Sprintf("the current rules refuse it (%v), we do not", currentError)
	case myError == nil && currentError == nil && !odd && difference(mine, now) != "":
		return nil, "ours against the current rules: " + difference(mine, now)
	case myError == nil && currentError == nil && len(without(now, mine)) > 0:
		return nil, "we leave out what the current rules include: " + difference(mine, now)
	}

	var then listing
	old, olderError := parseOlder(c.file, allOlder)
	if olderError == nil {
		then, olderError = c.expected(old)
	}
	switch {
	case (buildError != nil) != (olderError != nil):
		return nil, fmt.Sprintf("BuildKit says %v, the older rules %v", buildError, olderError)
	case buildError == nil && difference(image, then) != "":
		return nil, "the image against the older rules: " + difference(image, then)
	case buildError != nil && myError != nil:
		return []string{"are refused by all"}, ""
	case buildError != nil:
		return []string{"are refused by BuildKit 20.10 (a pattern is no regular expression)"}, ""
	case myError != nil:
		return []string{refusedEarly}, ""
	case difference(image, mine) == "":
		return []string{same}, ""
	case odd && currentError == nil && difference(image, now) == "":
		return []string{"have an odd pattern, and we include more"}, ""
	}
	kinds = []string{"differ, as the older rules of docker 20.10 say:"}
	for _, alone := range olderAlone {
		if only, err := parseOlder(c.file, alone.how); err == nil {
			if that, err := c.expected(only); err == nil && difference(that, now) != "" {
				kinds = append(kinds, "  "+alone.what)
			}
		}
	}
	return kinds, ""
}

// smaller tries what a case can be reduced to in one step until one is taken.
func (c contextCase) smaller(take func(contextCase) bool) bool {
	for _, n := range c.nodes {
		var rest []node
		for _, other := range c.nodes {
			if other.path != n.path && !strings.HasPrefix(other.path, n.path+"/") {
				rest = append(rest, other)
			}
		}
		if take(contextCase{c.file, rest, c.layout}) {
			return true
		}
	}
	if c.layout != plain && take(contextCase{c.file, c.nodes, plain}) {
		return true
	}
	return smaller(question{file: c.file}, func(q question) bool { return take(contextCase{q.file, c.nodes, c.layout}) })
}

func (c contextCase) reduced(disagrees func(contextCase) bool) contextCase {
	take := func(next contextCase) bool {
		if !disagrees(next) {
			return false
		}
		c = next
		return true
	}
	for c.smaller(take) {
	}
	return c
}

func compareContexts(imagewright, docker, directory string, seed int64, cases int) bool {
	fmt.Printf("Seed %d: %d random directories and ignore files, and BuildKit\n", seed, cases)
	directory, err := filepath.Abs(directory)
	must(err)
	kinds := tally{counts: map[string]int{}}
	var mutex sync.Mutex
	var names atomic.Int64
	ok := true
	// BuildKit remembers contexts by name: no two have the same.
	newBase := func() string {
		return filepath.Join(directory, "case-"+strconv.FormatInt(seed, 36)+"-"+strconv.FormatInt(names.Add(1), 10))
	}
	inParallel(cases, func() func(int) bool {
		return func(number int) bool {
			c := randomCase(seed, number)
			base := newBase()
			found, wrong := c.compare(imagewright, docker, base)
			if wrong == "" {
				for _, kind := range found {
					kinds.add(kind)
				}
				must(os.RemoveAll(base))
				must(os.RemoveAll(base + "-outside"))
				return true
			}
			mutex.Lock()
			defer mutex.Unlock()
			if !ok {
				return false // one is enough
			}
			ok = false
			small := c.reduced(func(c contextCase) bool {
				_, wrong := c.compare(imagewright, docker, newBase())
				return wrong != ""
			})
			base = newBase()
			_, wrong = small.compare(imagewright, docker, base)
			fmt.Printf("Case %d, reduced, in %s: the ignore file %q, layout %d\n", number, base, small.file, small.layout)
			for _, n := range small.nodes {
				fmt.Printf("  %s %04o %q %q\n", n.kind, n.mode, n.path, n.target)
			}
			fmt.Printf("  %s\nAgain: IMAGEWRIGHT_SEED=%d\n", wrong, seed)
			return false
		}
	})
	for _, kind := range kinds.sorted() {
		fmt.Printf("%7d %s\n", kinds.counts[kind], kind)
	}
	return ok
}
