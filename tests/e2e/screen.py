#!/usr/bin/env python3
"""screen.py COLUMNS ROWS lines|frames [cut|reflow]: what a terminal shows of the bytes on stdin.

lines   what stands there in the end, with what was scrolled off, a line each (a wrapped line is one), and
        "<cursor at COLUMN>"
frames  what each update left from the cursor on: a line for each row, of the columns it took, a blank and the text;
        behind each frame a line "--"

A small model, and a strict one: another escape sequence than those below, another control character, no UTF-8, a move
or an erasing outside of an update, a cell that is erased and then written again in one update (it would flicker; for each
new size it may, once), a cursor that is moved above the screen, or in the end a cursor that is hidden, wrapping that is
off or an update that is open are errors: status 1, and it says which.

`\\x1b[8;ROWS;COLUMNSt`, from pty_run.py, makes the terminal another size. It then cuts what is wider (`cut`, the default)
or breaks lines anew (`reflow`); the cursor stays at its character.
"""
import re
import sys
import unicodedata

TOKEN = re.compile(r"\x1b\[(?P<csi>\??[\d;]*[A-Za-z])|[^\x00-\x1f\x7f-\x9f]|\r|\n")


def width_of(character):
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


class Row:
    def __init__(self, is_rest=False):
        self.cells = []  # of a wide character the second one is ""
        self.is_rest = is_rest  # of the row above, which was full
        self.reach = 0  # columns that it took, also beyond the screen

    def text(self):
        return "".join(self.cells)


class Screen:
    def __init__(self, columns, height, reflows):
        self.columns, self.height, self.reflows = columns, height, reflows
        self.rows = [Row()]
        self.top = 0  # the first row that is on the screen
        self.row = self.column = self.reach = 0
        self.is_full = False  # the last column is written: the next character goes to the next row
        self.wraps = self.has_cursor = True
        self.updates = self.resized = False
        self.may_clear = False  # it is another size since: what was there need not be drawn over
        self.is_touched = False  # in this update
        self.erased = set()  # cells, in this update
        self.frames = []

    def fail(self, what):
        sys.exit("screen: %s; row %d: %r" % (what, self.row, self.rows[self.row].text()))

    # --- Writing

    def write(self, character):
        width = width_of(character)
        self.is_touched = True
        if width == 0:
            return
        if self.wraps and (self.is_full or self.column + width > self.columns):
            self.next_row()
            self.rows[self.row].is_rest = True
            self.move(0)
        self.column = min(self.column, self.columns - width)
        row = self.rows[self.row]
        for column in range(self.column, self.column + width):
            if (self.row, column) in self.erased:
                self.fail("it flickers")
        row.cells.extend(" " * (self.column - len(row.cells)))
        row.cells[self.column:self.column + width] = [character] + [""] * (width - 1)
        self.reach += width
        row.reach = max(row.reach, self.reach)
        self.column += width
        if self.column >= self.columns:
            self.column = self.columns - 1
            self.is_full = True

    def move(self, column):
        self.column = self.reach = column
        self.is_full = False

    def next_row(self):
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append(Row())
        self.top = max(self.top, self.row - self.height + 1)
        self.is_full = False

    def erase_rest(self):
        if not self.updates:
            self.fail("erased outside of an update")
        row = self.rows[self.row]
        if self.is_full and not self.resized:
            self.fail("erases what was just written")
        for column in range(self.column, len(row.cells)):
            if row.cells[column].strip():
                self.erased.add((self.row, column))
        del row.cells[self.column:]
        row.reach = self.column

    def erase_below(self):
        self.erase_rest()
        for below in range(self.row + 1, len(self.rows)):
            self.erased.update((below, column) for column, cell in enumerate(self.rows[below].cells) if cell.strip())
        del self.rows[self.row + 1:]
        if self.may_clear and not self.is_touched:
            self.may_clear = False
            self.erased = set()

    def up(self, count):
        if not self.updates:
            self.fail("moved outside of an update")
        if self.row - count < self.top and not self.resized:
            self.fail("moved above the screen")
        self.row = max(self.top, self.row - count)
        self.is_full = False

    def begin(self):
        self.updates = True
        self.is_touched = False

    def end(self):
        self.updates = False
        self.erased = set()
        rows = self.rows[self.row:]
        if any(row.text().strip() for row in rows):
            self.frames.append([(row.reach, row.text().rstrip()) for row in rows])

    # --- Another size

    def resize(self, height, columns):
        self.resized = self.may_clear = True
        self.height, self.columns = height, columns
        if self.reflows:
            self.break_anew()
        else:
            for row in self.rows:
                del row.cells[columns:]
        self.move(min(self.column, columns - 1))
        # The end is on the screen, if the cursor then is too; what is below the screen is lost.
        self.top = min(max(0, len(self.rows) - height), self.row)
        del self.rows[self.top + height:]

    def break_anew(self):
        old, self.rows = self.rows, []
        was, column = old[self.row], self.column
        for row in old:
            if not row.is_rest:
                self.rows.append(Row())
            for here, cell in enumerate(row.cells):
                if row is was and here == column:
                    self.row, self.column = len(self.rows) - 1, len(self.rows[-1].cells)
                wide = here + 1 < len(row.cells) and row.cells[here + 1] == ""
                if len(self.rows[-1].cells) + 1 + wide > self.columns and cell != "":
                    self.rows.append(Row(is_rest=True))
                    if row is was and here == column:
                        self.row, self.column = len(self.rows) - 1, 0
                self.rows[-1].cells.append(cell)
            if row is was and column >= len(row.cells):
                self.row = len(self.rows) - 1
                self.column = len(self.rows[-1].cells) + column - len(row.cells)

    # --- All of it

    def take(self, token, csi):
        if csi is None:
            if token == "\r":
                self.move(0)
            elif token == "\n":
                self.next_row()
            else:
                self.write(token)
        elif csi == "K":
            self.erase_rest()
        elif csi == "J":
            self.erase_below()
        elif re.fullmatch(r"\d+A", csi):
            self.up(int(csi[:-1]))
        elif csi in ("?7l", "?7h"):
            self.wraps = csi.endswith("h")
        elif csi in ("?25l", "?25h"):
            self.has_cursor = csi.endswith("h")
        elif csi == "?2026h":
            self.begin()
        elif csi == "?2026l":
            self.end()
        elif re.fullmatch(r"8;\d+;\d+t", csi):
            self.resize(*map(int, csi[2:-1].split(";")))
        elif not re.fullmatch(r"[\d;]*m", csi):
            self.fail("unexpected: " + repr(token))

    def check_end(self):
        for is_well, what in ((self.has_cursor, "the cursor is hidden"), (self.wraps, "wrapping is off"),
                              (not self.updates, "an update is open")):
            if not is_well:
                self.fail("in the end " + what)

    def lines(self):
        lines = []
        for row in self.rows:
            if row.is_rest:
                lines[-1] += row.text()
            else:
                lines.append(row.text())
        return [line.rstrip() for line in lines]


def main():
    screen = Screen(int(sys.argv[1]), int(sys.argv[2]), "reflow" in sys.argv[4:])
    text = sys.stdin.buffer.read().decode("utf-8")
    at = 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            screen.fail("unexpected: " + repr(text[at:at + 20]))
        at = match.end()
        screen.take(match.group(), match.group("csi"))
    screen.check_end()
    sys.stdout.reconfigure(encoding="utf-8")
    if sys.argv[3] == "frames":
        for frame in screen.frames:
            for reach, row in frame:
                print(reach, row)
            print("--")
    else:
        print("\n".join(screen.lines()).rstrip("\n"))
        print("<cursor at %d>" % screen.column)


main()
