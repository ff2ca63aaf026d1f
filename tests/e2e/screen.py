#!/usr/bin/env python3
"""screen.py COLUMNS lines|frames: what a terminal shows of the bytes on stdin.

lines   what stands on the screen in the end, one line each (a wrapped line is one), and "<cursor at COLUMN>"
frames  each text that was drawn over later, from its line's start: the columns it took, a blank, the text

A small model, which knows `\\r`, `\\n`, clearing to the line's end, wrapping on and off, and colours. Anything else among
the bytes (another escape sequence, another control character, no UTF-8) is an error: status 1, and it says which.
"""
import re
import sys
import unicodedata

TOKEN = re.compile(r"\x1b\[\d*(?:;\d+)*m|\x1b\[0?K|\x1b\[\?7[lh]|[^\x00-\x1f\x7f-\x9f]|\r|\n")


class Screen:
    def __init__(self, columns):
        self.columns = columns
        self.rows = [[]]
        self.wrapped = set()  # rows that are the rest of the row above
        self.row = 0
        self.column = 0
        self.wrapping = True
        self.frames = []
        self.taken = 0  # columns that were written to since the last return

    def write(self, character):
        width = 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if unicodedata.combining(character):
            return
        self.taken = max(self.taken, self.column + width)
        if self.column + width > self.columns:
            if self.wrapping:
                self.next_row()
                self.wrapped.add(self.row)
                self.column = 0
            else:
                self.column = self.columns - width
        row = self.rows[self.row]
        row.extend(" " * (self.column - len(row)))
        row[self.column:self.column + width] = [character] + [""] * (width - 1)
        self.column += width
        if not self.wrapping:
            self.taken = max(self.taken, self.column)

    def next_row(self):
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append([])

    def text(self, row):
        return "".join(self.rows[row]).rstrip()

    def take(self, token, following):
        if token == "\r":
            if following != "\n" and self.text(self.row):
                self.frames.append((self.taken, self.text(self.row)))
            self.column = self.taken = 0
        elif token == "\n":
            self.next_row()
        elif token.endswith("K") and len(token) > 1:
            del self.rows[self.row][self.column:]
        elif token in ("\x1b[?7l", "\x1b[?7h"):
            self.wrapping = token.endswith("h")
        elif len(token) == 1:
            self.write(token)

    def lines(self):
        lines = []
        for row in range(len(self.rows)):
            if row in self.wrapped:
                lines[-1] += "".join(self.rows[row])
            else:
                lines.append("".join(self.rows[row]))
        return [line.rstrip() for line in lines]


def main():
    screen = Screen(int(sys.argv[1]))
    text = sys.stdin.buffer.read().decode("utf-8")
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            sys.exit("screen: unexpected: " + repr(text[at:at + 20]))
        at = match.end()
        screen.take(match.group(), text[at:at + 1])
    if not screen.wrapping:
        sys.exit("screen: wrapping is still off")
    sys.stdout.reconfigure(encoding="utf-8")
    if sys.argv[2] == "frames":
        for taken, frame in screen.frames:
            print(taken, frame)
    else:
        print("\n".join(screen.lines()).rstrip("\n"))
        print("<cursor at %d>" % screen.column)


main()
