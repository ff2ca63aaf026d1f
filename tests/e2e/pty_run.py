#!/usr/bin/env python3
"""pty_run.py COLUMNS ROWS COMMAND...: runs a command on a pseudo-terminal of that size.

Its bytes go to stdout as they come, raw; what comes on stdin is typed, but for `\\x1b[8;ROWS;COLUMNSt`: that makes the
terminal another size, and stands on stdout too, where it happened. Ends with the command's status, or 128 plus the
signal that ended it. (Needs no more of Python than Debian's python3-minimal.)
"""
import fcntl
import os
import re
import select
import struct
import sys

TIOCSWINSZ = 0x5414
RESIZE = re.compile(rb"(\x1b\[8;(\d+);(\d+)t)")


def set_size(terminal, columns, rows):
    fcntl.ioctl(terminal, TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def read(source):
    try:
        return os.read(source, 65536)
    except OSError:  # a terminal that nobody has open any more
        return b""


def write(target, data):
    while data:
        data = data[os.write(target, data):]


def typed(data, terminal):
    parts = RESIZE.split(data)  # text, and for each resize: all of it, rows, columns, text
    write(terminal, parts[0])
    for whole, rows, columns, text in zip(*[iter(parts[1:])] * 4):
        set_size(terminal, int(columns), int(rows))
        write(1, whole)
        write(terminal, text)


def main():
    columns, rows, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    child, terminal = os.forkpty()
    if child == 0:
        set_size(0, columns, rows)
        try:
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    readable = [terminal, 0]
    while terminal in readable:
        for source in select.select(readable, [], [])[0]:
            data = read(source)
            if not data:
                readable.remove(source)
            elif source == terminal:
                write(1, data)
            else:
                typed(data, terminal)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else 128 - status


sys.exit(main())
