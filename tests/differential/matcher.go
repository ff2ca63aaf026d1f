package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/patternmatcher"
)

// Random patterns and paths, asked of moby's matcher and of ours.

// A question is an ignore file and paths, none of which ends with a `/`.
type question struct {
	file  []byte
	paths []string
}

// What ours says: see ignore_answers.cc.
type answer struct {
	errorLine int // 0: none
	warnings  int
	older     bool // older engines read it otherwise
	text      []byte
	paths     []string
}

// The program ignore_answers, running.
type answers struct {
	in  io.Writer
	out *bufio.Reader
}

func startAnswers(program string) *answers {
	command := exec.Command(program)
	command.Stderr = stderr
	in, err := command.StdinPipe()
	if err != nil {
		fail("%v", err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		fail("%v", err)
	}
	if err := command.Start(); err != nil {
		fail("%v", err)
	}
	return &answers{in, bufio.NewReader(out)}
}

// ask takes many questions at once: there and back costs more than an answer.
func (a *answers) ask(questions ...question) []answer {
	go func() {
		var all []byte
		for _, q := range questions {
			all = append(all, "="+hex.EncodeToString(q.file)...)
			for _, path := range q.paths {
				all = append(all, " "+hex.EncodeToString([]byte(path))...)
			}
			all = append(all, '\n')
		}
		a.in.Write(all)
	}()
	results := make([]answer, len(questions))
	for i := range questions {
		text, err := a.out.ReadString('\n')
		if err != nil {
			fail("ignore_answers ended on one of %d questions like %q %q", len(questions), questions[i].file, questions[i].paths)
		}
		result := &results[i]
		words := strings.Fields(text)
		if words[0] == "error" {
			result.errorLine, _ = strconv.Atoi(words[1])
			continue
		}
		result.warnings, _ = strconv.Atoi(words[1])
		result.older = words[2] == "1"
		result.text, _ = hex.DecodeString(words[3][1:])
		result.paths = words[4:]
	}
	return results
}

// How cases came out.
type tally struct {
	sync.Mutex
	counts map[string]int
}

func (t *tally) add(what string) {
	t.Lock()
	defer t.Unlock()
	t.counts[what]++
}

func (t *tally) sorted() []string {
	var all []string
	for what := range t.counts {
		all = append(all, what)
	}
	sort.Slice(all, func(i, j int) bool { return t.counts[all[i]] > t.counts[all[j]] })
	return all
}

const (
	agreed       = "agree"
	refused      = "are refused by both"
	refusedEarly = "have a malformed pattern that moby's matcher does not come to"
	odd          = "have an odd pattern (we ignore nothing that moby's matcher includes)"
)

// compare says what kind of case it is, or what is wrong ("").
func compare(q question, ours answer) (kind string, wrong string) {
	theirs, err := parseCurrent(q.file)
	lines, readError := readIgnoreFile(q.file)
	if ours.errorLine > 0 {
		for _, line := range lines {
			if line.number == ours.errorLine && !isMalformed(line) {
				return "", fmt.Sprintf("we refuse line %d", ours.errorLine)
			}
			if line.number < ours.errorLine {
				if _, err := patternmatcher.New([]string{line.pattern}); err != nil {
					return "", fmt.Sprintf("line %d is malformed, not line %d", line.number, ours.errorLine)
				}
			}
		}
		if err != nil {
			return refused, ""
		}
		return refusedEarly, ""
	}
	if readError != nil {
		return "", fmt.Sprintf("it cannot be read (%v), but we can", readError)
	}
	if err != nil {
		return "", fmt.Sprintf("moby's matcher refuses it (%v), we do not", err)
	}
	for i, path := range q.paths {
		mine := ours.paths[i]
		if mine == "differs" {
			return "", fmt.Sprintf("%q: our answers for a file and for a directory differ", path)
		}
		expected, err := walk(theirs, path)
		if err != nil {
			if ours.warnings == 0 {
				return "", fmt.Sprintf("%q: moby's matcher refuses a pattern, we do not", path)
			}
			return odd, ""
		}
		pruned := false
		for depth, ignored := range expected {
			weIgnore := mine[depth] != '0'
			if weIgnore && !ignored || ignored && !weIgnore && ours.warnings == 0 {
				return "", fmt.Sprintf("%q, part %d of it: moby's matcher says ignored=%v, we say %v", path, depth+1, ignored,
					weIgnore)
			}
			if pruned && !ignored {
				return "", fmt.Sprintf("%q: we would not look there, but part %d of it is included", path, depth+1)
			}
			pruned = pruned || mine[depth] == '2'
		}
	}
	if wrong := compareText(q, ours); wrong != "" {
		return "", wrong
	}
	if ours.warnings > 0 {
		return odd, ""
	}
	return agreed, ""
}

// The text that engines are given must mean the same to them: to current ones, and, where we say so, to older ones.
func compareText(q question, ours answer) string {
	var engines []namedRules
	if ours.warnings > 0 || !samePatterns(ours.text, q.file) { // else they were compared already
		current, err := parseCurrent(ours.text)
		if err != nil {
			return fmt.Sprintf("our text %q is refused: %v", ours.text, err)
		}
		engines = append(engines, namedRules{"a current engine", current, ours.warnings == 0})
	}
	if !ours.older {
		then, err := parseOlder(ours.text, allOlder)
		if err != nil {
			return fmt.Sprintf("our text %q is refused by an older engine: %v", ours.text, err)
		}
		engines = append(engines, namedRules{"docker 20.10", then, false})
	}
	for _, engine := range engines {
		for i, path := range q.paths {
			if strings.Contains(path, "\n") && !engine.newlines {
				continue
			}
			expected, err := walk(engine.rules, path)
			if err != nil {
				return fmt.Sprintf("our text %q is refused by %s: %v", ours.text, engine.name, err)
			}
			above := false
			for depth, ignored := range expected {
				// Where there are no `!` patterns, an engine does not look into what it ignores.
				ignored = ignored || above
				above = ignored && !engine.rules.enters("")
				if ours.paths[i][depth] != '0' != ignored {
					return fmt.Sprintf("%q, part %d of it: %s says of our text %q ignored=%v, we say %v", path, depth+1, engine.name,
						ours.text, ignored, !ignored)
				}
			}
		}
	}
	return ""
}

// Rules that read our text, and whether they are to take names with newlines as we do.
type namedRules struct {
	name     string
	rules    rules
	newlines bool
}

func samePatterns(a, b []byte) bool {
	first, _ := readIgnoreFile(a)
	second, _ := readIgnoreFile(b)
	return strings.Join(patternsOf(first), "\n") == strings.Join(patternsOf(second), "\n")
}

// smaller tries what a question can be reduced to in one step, the largest steps first, until one is taken.
func smaller(q question, take func(question) bool) bool {
	without := func(i int) []string { return append(append([]string{}, q.paths[:i]...), q.paths[i+1:]...) }
	for i := range q.paths {
		if len(q.paths) > 1 && take(question{q.file, without(i)}) {
			return true
		}
	}
	cut := func(from, to int) bool {
		return take(question{[]byte(string(q.file[:from]) + string(q.file[to:])), q.paths})
	}
	start := 0
	for _, line := range strings.SplitAfter(string(q.file), "\n") {
		end := start + len(line)
		if line != "" && cut(start, end) {
			return true
		}
		start = end
	}
	for _, size := range []int{10000, 1000, 100, 10, 3, 1} {
		for at := 0; at+size <= len(q.file); at += (size + 1) / 2 {
			if cut(at, at+size) {
				return true
			}
		}
	}
	for i, path := range q.paths {
		for at := range path {
			shorter := path[:at] + path[at+1:]
			if isPath(shorter) && take(question{q.file, append(without(i), shorter)}) {
				return true
			}
		}
	}
	return false
}

// isPath says whether a walk can come to a path.
func isPath(path string) bool {
	for _, name := range strings.Split(path, "/") {
		if name == "" || name == "." || name == ".." {
			return false
		}
	}
	return true
}

// reduced takes away all that the disagreement does not need.
func reduced(q question, disagrees func(question) bool) question {
	take := func(next question) bool {
		if !disagrees(next) {
			return false
		}
		q = next
		return true
	}
	for smaller(q, take) {
	}
	return q
}

func randomQuestion(seed int64, number int) question {
	r := randomOf(seed, number)
	var q question
	for len(q.paths) < 6 {
		q.paths = append(q.paths, randomPath(r, true))
	}
	q.file = randomIgnoreFile(r, q.paths, 5, true)
	return q
}

func compareMatcher(program string, seed int64, cases int) bool {
	fmt.Printf("Seed %d: %d random ignore files, six paths each, and moby's matcher\n", seed, cases)
	const batch = 50
	kinds := tally{counts: map[string]int{}}
	var mutex sync.Mutex
	ok := true
	inParallel((cases+batch-1)/batch, func() func(int) bool {
		ours := startAnswers(program)
		compareOne := func(q question) (string, string) { return compare(q, ours.ask(q)[0]) }
		return func(number int) bool {
			var questions []question
			for i := number * batch; i < (number+1)*batch && i < cases; i++ {
				questions = append(questions, randomQuestion(seed, i))
			}
			for i, answer := range ours.ask(questions...) {
				kind, wrong := compare(questions[i], answer)
				kinds.add(kind)
				if wrong == "" {
					continue
				}
				mutex.Lock()
				defer mutex.Unlock()
				if !ok {
					return false // one is enough
				}
				ok = false
				fmt.Printf("Case %d: %s\n", number*batch+i, wrong)
				small := reduced(questions[i], func(q question) bool {
					_, wrong := compareOne(q)
					return wrong != ""
				})
				_, wrong = compareOne(small)
				fmt.Printf("Case %d: the ignore file %q\n  paths %q\n  %s\nAgain: IMAGEWRIGHT_SEED=%d\n", number*batch+i,
					small.file, small.paths, wrong, seed)
				return false
			}
			return true
		}
	})
	for _, kind := range kinds.sorted() {
		fmt.Printf("%7d %s\n", kinds.counts[kind], kind)
	}
	return ok
}
