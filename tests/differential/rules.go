package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher"
)

// The rules as current BuildKit has them: moby's matcher, asked top-down. Only the file reader, which Debian does not
// package, is written anew here, after the rules of moby/patternmatcher's ignorefile; that it reads files as BuildKit
// does is checked by the comparison with a real one.

// An ignoreLine is a line of an ignore file that holds a pattern, as the reader hands it to the matcher.
type ignoreLine struct {
	number  int
	pattern string
}

func readIgnoreFile(text []byte) ([]ignoreLine, error) {
	var lines []ignoreLine
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; scanner.Scan(); number++ {
		line := scanner.Text()
		if number == 1 {
			line = strings.TrimPrefix(line, "\xEF\xBB\xBF")
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		rest := strings.TrimPrefix(line, "!")
		bang := line[:len(line)-len(rest)]
		if bang != "" {
			rest = strings.TrimSpace(rest)
		}
		if rest != "" {
			rest = filepath.Clean(rest)
			if len(rest) > 1 {
				rest = strings.TrimPrefix(rest, "/")
			}
		}
		lines = append(lines, ignoreLine{number, bang + rest})
	}
	return lines, scanner.Err()
}

func patternsOf(lines []ignoreLine) []string {
	patterns := make([]string, len(lines))
	for i, line := range lines {
		patterns[i] = line.pattern
	}
	return patterns
}

// What both models of rules answer.
type rules interface {
	// root gives what the entries of the context's root are asked with.
	root() any
	// match says whether a path is ignored, and what its entries are to be asked with. An error is a pattern that turns
	// out malformed only now.
	match(path string, parent any) (bool, any, error)
	// enters says whether an ignored directory is looked into.
	enters(directory string) bool
	// sendsEmpty says whether an ignored directory that is looked into is sent though nothing in it is.
	sendsEmpty() bool
}

type currentRules struct {
	matcher *patternmatcher.PatternMatcher
}

// parseCurrent gives an error for what BuildKit refuses before it looks at any file.
func parseCurrent(text []byte) (*currentRules, error) {
	lines, err := readIgnoreFile(text)
	if err != nil {
		return nil, err
	}
	matcher, err := patternmatcher.New(patternsOf(lines))
	return &currentRules{matcher}, err
}

func (r *currentRules) root() any { return patternmatcher.MatchInfo{} }

func (r *currentRules) match(path string, parent any) (ignored bool, info any, err error) {
	// Version 0.5.0 crashes where a pattern that it could not compile is tried a second time; later ones give the same
	// error again.
	defer func() {
		if recover() != nil {
			err = filepath.ErrBadPattern
		}
	}()
	return r.matcher.MatchesUsingParentResults(path, parent.(patternmatcher.MatchInfo))
}

func (r *currentRules) enters(string) bool { return r.matcher.Exclusions() }
func (r *currentRules) sendsEmpty() bool   { return false }

// isMalformed says whether moby's matcher refuses a pattern, at once or when it is tried. Errors of patterns that are
// never tried go unnoticed in BuildKit.
func isMalformed(line ignoreLine) bool {
	if _, err := patternmatcher.New([]string{line.pattern}); err != nil {
		return true
	}
	// It is tried alone where it ignores, and behind one that ignores all where it includes. Which of the two it does is
	// the matcher's to say: cleaned, `!../../x` is `x`.
	for _, patterns := range [][]string{{line.pattern}, {"**", line.pattern}} {
		forced, err := patternmatcher.New(patterns)
		if err != nil {
			return true
		}
		if _, _, err := (&currentRules{forced}).match("a", patternmatcher.MatchInfo{}); err != nil {
			return true
		}
	}
	return false
}

var errNoRules = errors.New("the ignore file is refused")

// walk asks about a path and all directories above it, as a walk from the root does.
func walk(r rules, path string) ([]bool, error) {
	var answers []bool
	info := r.root()
	for end := 0; end < len(path); end++ {
		next := strings.IndexByte(path[end:], '/')
		if next < 0 {
			end = len(path)
		} else {
			end += next
		}
		ignored, below, err := r.match(path[:end], info)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", errNoRules, err)
		}
		answers = append(answers, ignored)
		info = below
	}
	return answers, nil
}
