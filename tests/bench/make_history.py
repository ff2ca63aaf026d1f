"""make_history.py REPOSITORY: a bare repository with 10,000 files (100 directories of 100, 26 MB) and 500 MB of history below
branch master, by `git fast-import`. Each directory holds a Dockerfile that copies it, and beside them there is one for the
first of them, as another context has it, and one for all. What is in a file is random, so that
nothing is smaller than it looks; the same for the same version of Python.

    make_history.py --commit REPOSITORY NUMBER: one more commit, which changes a file that stands beside the directories
"""
import random
import subprocess
import sys

DIRECTORIES, FILES, SIZE = 100, 100, 2600
COMMITS = 185  # each changes 1,000 files
DOCKERFILE = b"FROM scratch\nCOPY . /\n"


def data(content):
    return b"data %d\n%s\n" % (len(content), content)


def commit(out, message, begin, parent=None):
    out.write(b"commit refs/heads/master\ncommitter B <b@example.com> %d +0000\n" % begin + data(message))
    if parent:
        out.write(b"from %s\n" % parent)


def write_history(out):
    chance = random.Random(1)
    commit(out, b"first", 1_600_000_000)
    out.write(b"M 644 inline Dockerfile\n" + data(DOCKERFILE))
    out.write(b"M 644 inline dir0.Dockerfile\n" + data(b"FROM scratch\nCOPY dir0 /\n"))
    for directory in range(DIRECTORIES):
        out.write(b"M 644 inline dir%d/Dockerfile\n" % directory + data(DOCKERFILE))
        for file in range(FILES - 1):
            out.write(b"M 644 inline dir%d/sub/file%d\n" % (directory, file) + data(chance.randbytes(SIZE)))
    for number in range(COMMITS):
        commit(out, b"change %d" % number, 1_600_000_001 + number)
        for _ in range(1000):
            path = (chance.randrange(DIRECTORIES), chance.randrange(FILES - 1))
            out.write(b"M 644 inline dir%d/sub/file%d\n" % path + data(chance.randbytes(SIZE)))
    out.write(b"done\n")


def main():
    if sys.argv[1] == "--commit":
        repository, number = sys.argv[2], int(sys.argv[3])
        with subprocess.Popen(["git", "-C", repository, "fast-import", "--quiet", "--done"], stdin=subprocess.PIPE) as importer:
            commit(importer.stdin, b"beside", 1_700_000_000 + number, b"refs/heads/master^0")
            importer.stdin.write(b"M 644 inline beside/notes\n" + data(b"%d\n" % number) + b"done\n")
        return
    repository = sys.argv[1]
    subprocess.run(["git", "init", "-q", "--bare", "-b", "master", repository], check=True)
    with subprocess.Popen(["git", "-C", repository, "fast-import", "--quiet", "--done"], stdin=subprocess.PIPE) as importer:
        write_history(importer.stdin)
    subprocess.run(["git", "-C", repository, "config", "uploadpack.allowFilter", "true"], check=True)


main()
