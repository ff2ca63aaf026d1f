package main

import (
	"math/rand"
	"strings"
	"unicode/utf8"
)

// Random paths, and ignore files that have to do with them: a pattern is mostly a path that something was done to.

// A source of its own for each case, so that a case can be had again without those before it.
type splitMix uint64

func (s *splitMix) Uint64() uint64 {
	*s += 0x9E3779B97F4A7C15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}
func (s *splitMix) Int63() int64    { return int64(s.Uint64() >> 1) }
func (s *splitMix) Seed(seed int64) { *s = splitMix(seed) }

func randomOf(seed int64, number int) *rand.Rand {
	source := splitMix(uint64(seed)*0xD1342543DE82EF95 + uint64(number))
	return rand.New(&source)
}

func chance(r *rand.Rand, percent int) bool { return r.Intn(100) < percent }

func one(r *rand.Rand, of ...string) string { return of[r.Intn(len(of))] }

// What a file system holds: names that mean something in a pattern, in a regular expression or in an ignore file.
var plainNames = []string{"a", "b", "c", "ab", "abc", "a.b", "b.go", "c.md", ".a", "src", "B", "a-b", "aab", "bb"}
var specialNames = []string{
	"a b", " a", "a ", "é", "éa", "日本", "ß.b", "[a]", "a]", "[", "*", "a*", "**", "?", "a?", "!a", "!", "#a", `\`, `a\b`,
	"{a}", "{a,b}", "a{2}", "a+b", "a+", "(a)", "a|b", "|", "^a", "a^", "$a", "a$", "a-", "-", "~", ",", "'a'", `"a"`,
	"a\u00a0b", "\u2003a", "...", "c++", "a&b", "%a", "e\u0301", "\u0100", "\U0001F600",
}

// Names that most engines cannot be sent, and that only the matcher is asked about.
var hostileNames = []string{"a\nb", "\n", "a\xff", "\xff", "\xc3", "\uFEFFa", "\uFFFD", "a\tb", "\r", "\x01", "\u0085"}

func randomName(r *rand.Rand, hostile bool) string {
	switch {
	case hostile && chance(r, 3):
		return one(r, hostileNames...)
	case chance(r, 25):
		return one(r, specialNames...)
	default:
		return one(r, plainNames...)
	}
}

func randomPath(r *rand.Rand, hostile bool) string {
	path := randomName(r, hostile)
	for chance(r, 55) && strings.Count(path, "/") < 5 {
		path += "/" + randomName(r, hostile)
	}
	return path
}

// escaped makes a pattern of a name that stands for it alone, mostly.
func escaped(r *rand.Rand, name string) string {
	var out strings.Builder
	for i := 0; i < len(name); i++ { // bytes: some names are not UTF-8
		c := name[i]
		if strings.IndexByte(`*?[]\`, c) >= 0 && chance(r, 85) || strings.IndexByte("!# -^", c) >= 0 && chance(r, 10) {
			out.WriteByte('\\')
		}
		out.WriteByte(c)
	}
	return out.String()
}

func randomClass(r *rand.Rand, member string) string {
	class := "["
	if chance(r, 30) {
		class += one(r, "^", "^", "^", "!")
	}
	for more := true; more; more = chance(r, 40) {
		class += one(r, member, member, "a", "b-z", "a-c", "é", "α-ω", `\]`, `\-`, `\\`, ".", "[", "^", "A-Z", "0-9", " ", "+")
		if chance(r, 2) {
			class += one(r, "*", "?", "-", "[:alpha:]", "b-a", `\d`, "/", `\`, "a-b-c", "!")
		}
	}
	if chance(r, 2) {
		return class
	}
	return class + "]"
}

// Something between a name and a pattern that matches it.
func randomPart(r *rand.Rand, name string) string {
	switch r.Intn(14) {
	case 0, 1, 2, 3:
		return escaped(r, name)
	case 4:
		return name
	case 5:
		return "*"
	case 6:
		return "**"
	case 7, 8, 9:
		// One of its characters is left to a wildcard.
		runes := []rune(name)
		at := r.Intn(len(runes))
		wild := one(r, "*", "*", "?", "**", randomClass(r, escaped(r, string(runes[at]))))
		from, to := at, at+1
		if wild != "?" && chance(r, 50) {
			to = at + r.Intn(len(runes)-at+1)
		}
		if wild == "*" && chance(r, 40) {
			from = 0
		}
		return escaped(r, string(runes[:from])) + wild + escaped(r, string(runes[to:]))
	case 10:
		return one(r, "*", "**") + escaped(r, name)
	case 11:
		return escaped(r, name) + one(r, "*", "**", "?")
	case 12:
		return one(r, "***", "?", "*?", "a*b*", "*.*", ".*", "*a*", "{a,b}", "a|b", "a+", "(a)", "a{2}", "^a", "a^*", "|*",
			`\d*`, `a\d`, `a*\`, "*.{js,ts}", "*[", "*[]a]", `\é*`, `a\`, "[", "[^]", "a$*", ".", "..", " ")
	default:
		_, size := utf8.DecodeRuneInString(name)
		return randomClass(r, escaped(r, name[:size]))
	}
}

func randomPattern(r *rand.Rand, paths []string) string {
	parts := strings.Split(paths[r.Intn(len(paths))], "/")
	if chance(r, 30) {
		parts = parts[:1+r.Intn(len(parts))]
	}
	if chance(r, 15) {
		parts = parts[r.Intn(len(parts)):]
	}
	var out []string
	if chance(r, 12) {
		out = append(out, "**")
	}
	exact := chance(r, 35)
	for i, part := range parts {
		if len(parts) > 2 && i > 0 && i < len(parts)-1 && chance(r, 25) {
			if chance(r, 50) {
				out = append(out, "**")
			}
			continue
		}
		if exact {
			out = append(out, escaped(r, part))
		} else {
			out = append(out, randomPart(r, part))
		}
	}
	if chance(r, 15) {
		out = append(out, one(r, "*", "**", "*", "a", "*.b"))
	}
	return strings.Join(out, "/")
}

// A line as people write it, and as nobody does.
func randomLine(r *rand.Rand, paths []string, hostile bool) string {
	pattern := randomPattern(r, paths)
	if chance(r, 8) {
		pattern = one(r, "*", "**", "**/*", "*/*", "**/*.b", "**/a", "a", "a/**", "**/b/**", "*.go")
	}
	switch r.Intn(25) {
	case 0:
		pattern = "/" + pattern
	case 1:
		pattern = "./" + pattern
	case 2:
		pattern += "/"
	case 3:
		pattern = strings.Replace(pattern, "/", one(r, "//", "/./", "/a/../", "/ ./", "/. /"), 1)
	case 4:
		pattern = one(r, "../", "/../", "a/../", " /", "/ /", "/ ./", "!", "#", "\u2003") + pattern
	case 5:
		pattern += one(r, " ", "  ", "\t", "\u00a0", "/.", "/. /", "/..", "/ ")
	}
	if chance(r, 30) {
		pattern = one(r, "!", "!", "!", "!", "!", "! ", " !", "!/", "!!", "!./") + pattern
	}
	switch r.Intn(40) {
	case 0:
		return "#" + pattern
	case 1:
		return " #" + pattern
	case 2:
		return one(r, "", " ", "\t", "# a comment", "!a", "\u2003", "#")
	case 3:
		return " " + pattern + " "
	case 4:
		return "\t" + pattern
	}
	if hostile && r.Intn(4000) == 0 {
		return strings.Repeat("/", 65530+r.Intn(10)) + "a" // what is longer than 64 KiB is refused
	}
	return pattern
}

func randomIgnoreFile(r *rand.Rand, paths []string, most int, hostile bool) []byte {
	var lines []string
	if chance(r, 20) {
		lines = append(lines, one(r, "*", "**", "*/*"))
	}
	for more := true; more; more = len(lines) < most && chance(r, 65) {
		lines = append(lines, randomLine(r, paths, hostile))
	}
	end := "\n"
	if chance(r, 12) {
		end = "\r\n"
	}
	text := strings.Join(lines, end)
	if chance(r, 80) {
		text += end
	}
	if chance(r, 8) {
		text = "\xEF\xBB\xBF" + text
	}
	if !hostile && !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "")
	}
	return []byte(text)
}
