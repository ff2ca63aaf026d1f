#!/usr/bin/env python3
"""Does narrowing ever miss a change? Random Dockerfiles over random trees, changed at random, each built by the engine
itself without its cache: whenever what the image holds changed, imagewright must find it stale; and what imagewright
builds must be what the engine builds.

    reach.py IMAGEWRIGHT CASES SEED      in an empty directory, with DOCKER_HOST set and BuildKit in `docker`

Prints each case that is wrong, with all that is needed to see it again, and ends with status 1 if there is any."""
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tarfile

IMAGEWRIGHT, CASES, SEED = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
SHELL, TRIGGERS = "reach/shell", "reach/triggers"
NAMES = ["a", "b", "c", "d.txt", "e.txt", "f.c", "g h", "i+j", "k[1]", "l\u00e9", "m!", "n{o}"]
CHANGES_A_CASE = 5


def docker(*arguments, **keywords):
    environment = dict(os.environ, DOCKER_BUILDKIT="1")
    return subprocess.run(["docker", *arguments], env=environment, capture_output=True, text=True, **keywords)


def files_of(archive):
    """What a file system holds, but for times and owners."""
    held = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            name = os.path.normpath(member.name)
            content = hashlib.sha256(tar.extractfile(member).read()).hexdigest() if member.isfile() else ""
            kind = "file" if member.isfile() or member.islnk() else member.type
            if member.islnk():
                content = held[os.path.normpath(member.linkname)][2]
            held[name] = (kind, member.mode & 0o7777, content, member.linkname if member.issym() else "")
    for given in ("proc", "sys", "dev", "etc", ".dockerenv", "."):
        held = {name: what for name, what in held.items() if name != given and not name.startswith(given + "/")}
    return held


oracles = 0


def by_the_engine(project):
    """None: it does not build."""
    global oracles
    oracles += 1
    # A name of its own: BuildKit remembers what it saw under a directory's name.
    copy, archive = f"oracle-{oracles}", "oracle.tar"
    shutil.copytree(project, copy, symlinks=True)
    done = docker("build", "--no-cache", "-q", "-o", f"type=tar,dest={archive}", copy)
    shutil.rmtree(copy)
    return files_of(archive) if done.returncode == 0 else None


def difference(one, other):
    names = [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
    return {name: (one.get(name), other.get(name)) for name in names[:5]}


def by_imagewright():
    container = docker("create", "reach/case", "/none").stdout.strip()
    docker("export", "-o", "ours.tar", container)
    docker("rm", container)
    return files_of("ours.tar")


def all_paths(project):
    found = []
    for at, directories, files in os.walk(project):
        for name in directories + files:
            path = os.path.relpath(os.path.join(at, name), project)
            if path not in ("Dockerfile", ".dockerignore"):
                found.append(path)
    return sorted(found)


def some_directory(rng, project):
    every = [""] + [p for p in all_paths(project)
                    if os.path.isdir(f"{project}/{p}") and not os.path.islink(f"{project}/{p}")]
    return rng.choice(every)


def put_something(rng, project):
    at = os.path.join(project, some_directory(rng, project), rng.choice(NAMES))
    if os.path.lexists(at):
        return "nothing"
    kind = rng.choice(["file", "file", "file", "directory", "link", "link"])
    if kind == "file":
        with open(at, "w") as file:
            file.write(str(rng.random()))
    elif kind == "directory":
        os.mkdir(at)
        with open(f"{at}/{rng.choice(NAMES)}", "w") as file:
            file.write(str(rng.random()))
    else:
        target = rng.choice(all_paths(project) or ["gone"])
        way = rng.choice(["absolute", "relative", "relative", "too far up", "up from a link"])
        if way == "up from a link":
            links = [path for path in all_paths(project) if os.path.islink(f"{project}/{path}")]
            target = (rng.choice(links) + "/../" if links else "") + rng.choice(NAMES)
        if way == "relative":
            target = os.path.relpath(f"{project}/{target}", os.path.dirname(at))
        else:
            target = ("../../../../" if way == "too far up" else "/") + target
        os.symlink(target, at)
    return f"{kind} {os.path.relpath(at, project)}"


def change(rng, project):
    paths = all_paths(project)
    kind = rng.choice(["put", "put", "edit", "edit", "edit", "mode", "remove", "turn"])
    if kind == "put" or not paths:
        return "put " + put_something(rng, project)
    path = rng.choice(paths)
    at = f"{project}/{path}"
    is_link = os.path.islink(at)
    if kind == "edit" and os.path.isfile(at) and not is_link:
        with open(at, "w") as file:
            file.write(str(rng.random()))
    elif kind == "mode" and not is_link:
        os.chmod(at, rng.choice([0o755, 0o700]) if os.path.isdir(at) else rng.choice([0o644, 0o600, 0o755]))
    elif kind == "remove":
        shutil.rmtree(at) if os.path.isdir(at) and not is_link else os.remove(at)
    elif kind == "turn" and is_link:
        os.remove(at)
        os.symlink("/" + rng.choice([p for p in paths if p != path] or ["gone"]), at)
    else:
        return "nothing"
    return f"{kind} {path}"


def source(rng, project):
    """As COPY takes it: a path, a pattern, or one with variables."""
    path = rng.choice(all_paths(project) + ["a", "b"])
    form = rng.choice(["as it is", "as it is", "pattern", "star", "dots", "variable", "through"])
    parts = path.split("/")
    if form == "pattern":
        at = rng.randrange(len(parts))
        parts[at] = rng.choice(["*", "?", parts[at][0] + "*", "*" + parts[at][-1]] * 3 + ["[a-e]"])
    elif form == "star":
        parts[-1] = rng.choice(["*.txt", "*", "?", "**"])
    elif form == "dots":
        parts = ["."] + parts[:1] + [".."] + parts
    elif form == "variable" and parts[0] in ("a", "b"):
        parts[0] = {"a": rng.choice(["$A", "${GIVEN}", "${NONE:-a}"]), "b": rng.choice(["$B", "${B:-x}"])}[parts[0]]
    elif form == "through":
        parts.append(rng.choice(NAMES))
    return rng.choice(["", "", "/"]) + "/".join(parts)


def copy(rng, project, number):
    sources = [source(rng, project) for _ in range(rng.choice([1, 1, 2]))]
    to = f"/to{number}/"
    how = rng.random()
    if how < 0.6:
        return f"{rng.choice(['COPY', 'COPY', 'ADD'])} {json.dumps(sources + [to], ensure_ascii=False)}"
    if how < 0.7 and " " not in sources[0]:
        return f"COPY --chown=0:0 {sources[0]} {to}"
    target = sources[0].lstrip("/")
    if "," in target or " " in target or "*" in target or "$" in target or "[" in target or '"' in target:
        return f"COPY {json.dumps([sources[0], to], ensure_ascii=False)}"
    return f"RUN --mount=type=bind,source={target},target=/m [\"busybox\", \"cp\", \"-a\", \"/m\", \"/out{number}\"]"


def dockerfile(rng, project):
    lines = [] if rng.random() < 0.5 else ["ARG GLOBAL=b"]
    stages = rng.choice([1, 1, 2, 3])
    number = 0
    for stage in range(stages):
        base = rng.choice([SHELL, SHELL, TRIGGERS] + [f"s{i}" for i in range(stage)])
        lines.append(f"FROM {base} AS s{stage}")
        lines += ["ENV A=a", rng.choice(["ARG B=b", "ENV B=b", "ARG GLOBAL\nENV B=$GLOBAL"]), "ARG GIVEN=a"]
        if stage + 1 < stages and rng.random() < 0.2:
            lines.append("ONBUILD COPY [\"" + source(rng, project) + "\", \"/triggered/\"]")
        for _ in range(rng.choice([1, 2, 2])):
            number += 1
            lines.append(copy(rng, project, number))
        if stage > 0 and rng.random() < 0.5:
            lines.append(f"COPY --from=s{rng.randrange(stage)} / /from{stage}/")
    return "\n".join(lines) + "\n"


def is_stale():
    done = subprocess.run([IMAGEWRIGHT, "status", "--json", "--engine", "docker"], capture_output=True, text=True)
    return json.loads(done.stdout)[0]["state"] != "up-to-date"


def build():
    return subprocess.run([IMAGEWRIGHT, "build", "--engine", "docker", "-v"], capture_output=True, text=True)


def make_bases():
    os.makedirs("bases/b")
    shutil.copy(shutil.which("busybox"), "bases/busybox")
    with open("bases/shell", "w") as file:
        file.write('FROM scratch\nCOPY busybox /bin/busybox\nENV PATH=/bin\n')
    with open("bases/triggers", "w") as file:
        file.write(f"FROM {SHELL}\nENV B=b\nONBUILD COPY d.tx? $B* /triggered/\n")
    for tag in ("shell", "triggers"):
        done = docker("build", "-q", "-t", f"reach/{tag}", "-f", f"bases/{tag}", "bases")
        assert done.returncode == 0, done.stderr


def main():
    make_bases()
    with open("imagewright.yml", "w") as file:
        file.write("builder:\n  images:\n  - name: reach/case\n    from: case\n    args: {GIVEN: a}\n")
    told = {"cases": 0, "changes": 0, "images changed": 0, "narrowed": 0, "wrong": 0, "without need": 0}
    seed = SEED
    while told["cases"] < CASES:
        seed += 1
        rng = random.Random(seed)
        shutil.rmtree("case", ignore_errors=True)
        os.mkdir("case")
        for name in ("a", "b"):
            os.mkdir(f"case/{name}")
        for _ in range(rng.randrange(6, 16)):
            put_something(rng, "case")
        with open("case/Dockerfile", "w") as file:
            file.write(dockerfile(rng, "case"))
        before = by_the_engine("case")
        if before is None:
            continue
        story = []

        def wrong(what):
            told["wrong"] += 1
            print(f"seed {seed}: {what}\n{open('case/Dockerfile').read()}")
            print("\n".join(f"  {line}" for line in story + all_paths("case")), flush=True)

        built = build()
        if built.returncode != 0:
            wrong("imagewright does not build it: " + built.stdout + built.stderr)
            continue
        told["cases"] += 1
        told["narrowed"] += "The whole context counts" not in built.stderr
        if other := difference(before, by_imagewright()):
            wrong(f"imagewright builds another image: {other}")
        for _ in range(CHANGES_A_CASE):
            story.append(change(rng, "case"))
            told["changes"] += 1
            after = by_the_engine("case")
            if after is None:
                continue  # (Then there is no image to be right about.)
            stale = is_stale()
            told["images changed"] += after != before
            if after != before and not stale:
                wrong("the image changed, and imagewright does not see it")
                break
            told["without need"] += stale and after == before
            if stale:
                built = build()
                if built.returncode != 0:
                    wrong("imagewright does not build it: " + built.stdout + built.stderr)
                    break
                if other := difference(after, by_imagewright()):
                    wrong(f"imagewright builds another image: {other}")
                    break
            before = after
    print(", ".join(f"{count} {what}" for what, count in told.items()))
    sys.exit(told["wrong"] != 0)


main()
