// Compares how we read ignore files with those who decide what they mean: moby's matcher, and a real BuildKit.
//
//	differential matcher ANSWERS           random patterns and paths; ANSWERS is the program ignore_answers
//	differential contexts IMAGEWRIGHT DOCKER DIRECTORY
//	                                       random directories, built by DOCKER (a CLI with BuildKit built in, and its
//	                                       daemon) in DIRECTORY, which must be empty
//
// Each run has a new seed and prints it. IMAGEWRIGHT_SEED repeats a run, IMAGEWRIGHT_CASES says how many cases it has.
// A disagreement is reduced to what shows it, printed, and the exit status 1.
package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"
)

func numberFrom(variable string, otherwise int64) int64 {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		fail("%s=%s is no number", variable, text)
	}
	return number
}

// Moby's matcher writes to os.Stderr about patterns that are not UTF-8.
var stderr = os.Stderr

func fail(format string, arguments ...any) {
	fmt.Fprintf(stderr, "differential: "+format+"\n", arguments...)
	os.Exit(2)
}

// inParallel numbers the cases from 0 and shares them out among as many workers as there are cores. makeWorker makes
// what each of them works with. It stops early where a case fails (false).
func inParallel(cases int, makeWorker func() func(number int) bool) {
	var mutex sync.Mutex
	var wait sync.WaitGroup
	next := 0
	take := func() int {
		mutex.Lock()
		defer mutex.Unlock()
		next++
		return next - 1
	}
	for i := 0; i < runtime.GOMAXPROCS(0); i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			work := makeWorker()
			for number := take(); number < cases; number = take() {
				if !work(number) {
					mutex.Lock()
					next = cases
					mutex.Unlock()
				}
			}
		}()
	}
	wait.Wait()
}

func main() {
	os.Stderr, _ = os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	debug.SetGCPercent(400)
	seed := numberFrom("IMAGEWRIGHT_SEED", time.Now().UnixNano()&(1<<40-1))
	start := time.Now()
	ok := false
	switch arguments := os.Args[1:]; {
	case len(arguments) == 2 && arguments[0] == "matcher":
		ok = compareMatcher(arguments[1], seed, int(numberFrom("IMAGEWRIGHT_CASES", 100000)))
	case len(arguments) == 4 && arguments[0] == "contexts":
		ok = compareContexts(arguments[1], arguments[2], arguments[3], seed, int(numberFrom("IMAGEWRIGHT_CASES", 300)))
	default:
		fail("usage: differential matcher ANSWERS | contexts IMAGEWRIGHT DOCKER DIRECTORY")
	}
	fmt.Printf("%.1f s\n", time.Since(start).Seconds())
	if !ok {
		os.Exit(1)
	}
}
