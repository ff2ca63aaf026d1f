#!/usr/bin/env python3
"""pty_run.py COLUMNS ROWS COMMAND...: runs a command on a pseudo-terminal of that size.

Its bytes go to stdout as they come, raw; what comes on stdin is typed. Ends with the command's status, or 128 plus the
signal that ended it. (Needs only what Debian's python3-minimal has: no pty, no termios.)
"""
import fcntl
import os
import select
import struct
import sys

TIOCSWINSZ = 0x5414


def copy(source, target):
    """Copies what is there; False at the end."""
    try:
        data = os.read(source, 65536)
    except OSError:  # a terminal that nobody has open any more
        return False
    while data:
        data = data[os.write(target, data):]
        if not data:
            return True
    return False


def main():
    columns, rows, command = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    child, terminal = os.forkpty()
    if child == 0:
        fcntl.ioctl(0, TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        try:
            os.execvp(command[0], command)
        finally:
            os._exit(127)
    readable = [terminal, 0]
    while terminal in readable:
        for source in select.select(readable, [], [])[0]:
            if not copy(source, 1 if source == terminal else terminal):
                readable.remove(source)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else 128 - status


sys.exit(main())
