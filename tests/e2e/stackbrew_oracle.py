"""What a stackbrew library file says, by Python's own reader of RFC 2822, for the comparison with imagewright.

    stackbrew_oracle.py FILE                    the platforms of the file's entries, a line each
    stackbrew_oracle.py FILE PLATFORM [WORD...] the entries for that platform, where these constraints hold: JSON, in
                                                the form of `imagewright config --json`, reduced to what a file can say
    stackbrew_oracle.py --reduce                that form of a configuration on standard input
"""

import email.parser
import json
import os.path
import sys

PLATFORMS = {
    "amd64": "linux/amd64", "arm32v5": "linux/arm/v5", "arm32v6": "linux/arm/v6", "arm32v7": "linux/arm/v7",
    "arm64v8": "linux/arm64", "i386": "linux/386", "mips64le": "linux/mips64le", "ppc64le": "linux/ppc64le",
    "riscv64": "linux/riscv64", "s390x": "linux/s390x", "windows-amd64": "windows/amd64",
}


def paragraphs(path):
    with open(path, encoding="utf-8") as file:
        kept = [line for line in file if not line.lstrip().startswith("#")]
    for text in "".join(kept).split("\n\n"):
        fields = dict(email.parser.HeaderParser().parsestr(text.lstrip("\n")).items())
        if fields:
            yield fields


def words(text):
    return [word.strip() for word in text.replace("\n", " ").split(",") if word.strip()]


def entries(path):
    first, *rest = list(paragraphs(path))
    for own in rest:
        fields = {"GitFetch": "refs/heads/master", "Directory": ".", "Architectures": "amd64", **first, **own}
        for architecture in words(fields["Architectures"]):
            of = lambda name: fields.get(f"{architecture}-{name}", fields.get(name, ""))
            directory = os.path.normpath(of("Directory"))
            yield PLATFORMS[architecture], words(fields.get("Constraints", "")), {
                "tags": words(fields["Tags"]) + words(fields.get("SharedTags", "")),
                "git": of("GitRepo"),
                "commit": of("GitCommit"),
                "fetch": of("GitFetch"),
                "directory": "" if directory == "." else directory,
                "file": of("File"),
            }


def reduced(configuration):
    for image in configuration["builder"]["images"]:
        source = image["from"]
        yield {
            "tags": [image["name"].split(":")[1]] + [tag[1:] for tag in image.get("tags", [])],
            "git": source["git"],
            "commit": source["ref"],
            "fetch": source["fetch"],
            "directory": source["subdir"] or "",
            "file": image["dockerfile"] or "",
        }


def main():
    if sys.argv[1] == "--reduce":
        found = list(reduced(json.load(sys.stdin)))
    elif len(sys.argv) == 2:
        for platform in sorted({platform for platform, _, _ in entries(sys.argv[1])}):
            print(platform)
        return
    else:
        path, wanted, *given = sys.argv[1:]
        found = [image for platform, constraints, image in entries(path)
                 if platform == wanted and all(constraint in given for constraint in constraints)]
    print(json.dumps(found, indent=1, sort_keys=True))


main()
