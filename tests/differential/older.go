package main

import (
	"errors"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// The rules as docker 20.10 has them, to tell what BuildKit of that version must answer where it differs from the
// current rules. The differences can be switched on one by one; without any, the rules are the current ones.
type older struct {
	// Patterns without wildcards are regular expressions, too, and of what means something in one, only `.` and `$` are
	// escaped.
	texts bool
	// `**a` is `**/a`, not "whatever ends with a".
	suffixes bool
	// A pattern is tried on the path and on one directory above it: the one that has as many parts as the pattern. What
	// was found out of directories is forgotten.
	stateless bool
	// An ignored directory is entered only where its path begins the text of a `!` pattern, wildcards and all.
	prunes bool
	// An ignored directory that is entered is sent, even if nothing in it is.
	empty bool
}

var allOlder = older{texts: true, suffixes: true, stateless: true, prunes: true, empty: true}

type olderPattern struct {
	text      string
	exception bool
	depth     int
	matches   func(path string) bool
}

type olderRules struct {
	older
	patterns   []olderPattern
	exceptions bool
}

// parseOlder gives an error for what is refused at once, or when a first path is asked about.
func parseOlder(text []byte, how older) (*olderRules, error) {
	lines, err := readIgnoreFile(text)
	if err != nil {
		return nil, err
	}
	r := &olderRules{older: how}
	for _, line := range lines {
		pattern := strings.TrimSpace(line.pattern)
		if pattern == "" {
			continue
		}
		pattern = filepath.Clean(pattern)
		exception := pattern[0] == '!'
		if exception {
			pattern = pattern[1:]
		}
		if pattern == "" {
			return nil, errors.New("a lone !")
		}
		if _, err := filepath.Match(pattern, "."); err != nil {
			return nil, err
		}
		matches, err := how.compile(pattern)
		if err != nil {
			return nil, err
		}
		r.exceptions = r.exceptions || exception
		r.patterns = append(r.patterns, olderPattern{pattern, exception, strings.Count(pattern, "/") + 1, matches})
	}
	return r, nil
}

func (o older) compile(pattern string) (func(string) bool, error) {
	const wild = `*?[]\`
	if !o.texts {
		switch stars := strings.TrimSuffix(pattern, "/"); {
		case !strings.ContainsAny(pattern, wild):
			return func(path string) bool { return path == pattern }, nil
		case strings.HasSuffix(stars, "**") && len(stars) > 2 && !strings.ContainsAny(stars[:len(stars)-2], wild):
			return func(path string) bool { return strings.HasPrefix(path, stars[:len(stars)-2]) }, nil
		}
	}
	if !o.suffixes && strings.HasPrefix(pattern, "**") && !strings.ContainsAny(pattern[2:], wild) {
		end := pattern[2:]
		return func(path string) bool {
			return strings.HasSuffix(path, end) || end != "" && end[0] == '/' && path == end[1:]
		}, nil
	}
	compiled, err := regexp.Compile(o.expression(pattern))
	if err != nil {
		return nil, err
	}
	return compiled.MatchString, nil
}

func (o older) expression(pattern string) string {
	escaped := ".$"
	if !o.texts {
		escaped += "+(){}|"
	}
	// Whatever is not UTF-8 stands for U+FFFD, and a mark at the beginning is skipped.
	left := strings.TrimPrefix(string([]rune(pattern)), "\uFEFF")
	out := "^"
	for left != "" {
		_, size := utf8.DecodeRuneInString(left)
		switch {
		case strings.HasPrefix(left, "**"):
			left = strings.TrimPrefix(left[2:], "/")
			if left == "" {
				out += ".*"
			} else {
				out += "(.*/)?"
			}
			continue
		case left[0] == '*':
			out += "[^/]*"
		case left[0] == '?':
			out += "[^/]"
		case left[0] == '\\' && len(left) > 1:
			_, next := utf8.DecodeRuneInString(left[1:])
			size += next
			out += left[:size]
		case strings.Contains(escaped, left[:size]):
			out += `\` + left[:size]
		default:
			out += left[:size]
		}
		left = left[size:]
	}
	return out + "$"
}

func (r *olderRules) root() any { return make([]bool, len(r.patterns)) }

func (r *olderRules) match(path string, parent any) (bool, any, error) {
	inherited := parent.([]bool)
	here := make([]bool, len(r.patterns))
	above := strings.Split(filepath.Dir(path), "/")
	ignored := false
	for i, pattern := range r.patterns {
		switch {
		case r.stateless:
			here[i] = pattern.matches(path) || strings.Contains(path, "/") && pattern.depth <= len(above) &&
				pattern.matches(strings.Join(above[:pattern.depth], "/"))
		case inherited[i]:
			here[i] = true
		case pattern.exception == ignored:
			here[i] = pattern.matches(path)
		}
		if here[i] {
			ignored = !pattern.exception
		}
	}
	return ignored, here, nil
}

func (r *olderRules) enters(directory string) bool {
	if !r.prunes {
		return r.exceptions
	}
	for _, pattern := range r.patterns {
		if pattern.exception && strings.HasPrefix(pattern.text+"/", directory+"/") {
			return true
		}
	}
	return false
}

func (r *olderRules) sendsEmpty() bool { return r.empty }
