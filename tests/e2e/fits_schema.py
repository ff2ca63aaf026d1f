#!/usr/bin/env python3
"""fits_schema.py SCHEMA [PART]: reads one JSON document a line from stdin, and says which do not fit the JSON Schema, and why.
PART: they are to fit a part of it, "#/components/schemas/Job".

Knows as much of draft 2020-12 as our schemas use; a keyword that it does not know is an error. What a schema does not
name is allowed for those who read, but not for us who write: a key that no `properties` has is an error too.
"""
import json
import sys

NOTES = {"$schema", "$defs", "title", "description"}
TYPES = {"object": dict, "array": list, "string": str, "null": type(None), "boolean": bool}


def is_of(value, kind):
    if kind in ("integer", "number"):
        return isinstance(value, int if kind == "integer" else (int, float)) and not isinstance(value, bool)
    return isinstance(value, TYPES[kind])


def is_same(one, other):  # (In Python 1 is True.)
    return type(one) is type(other) and one == other


class Fit:
    """Of a value to a schema: what is wrong, and which keys the schema knows."""

    def __init__(self, root):
        self.root = root

    def wrong(self, schema, value, at):
        """A list of what is wrong, in words, and a set of the value's keys that are named."""
        wrong, named = [], set()

        def merge(more):
            wrong.extend(more[0])
            named.update(more[1])

        for keyword, wanted in schema.items():
            if keyword in NOTES:
                continue
            if keyword == "$ref":
                merge(self.wrong(self.resolved(wanted), value, at))
            elif keyword == "type":
                if not any(is_of(value, kind) for kind in ([wanted] if isinstance(wanted, str) else wanted)):
                    wrong.append("%s is no %s: %r" % (at, wanted, value))
            elif keyword == "const":
                if not is_same(value, wanted):
                    wrong.append("%s is not %r: %r" % (at, wanted, value))
            elif keyword == "enum":
                if not any(is_same(value, one) for one in wanted):
                    wrong.append("%s is none of %r: %r" % (at, wanted, value))
            elif keyword == "minimum":
                if is_of(value, "number") and value < wanted:
                    wrong.append("%s is less than %r: %r" % (at, wanted, value))
            elif keyword == "required":
                wrong.extend("%s has no %s" % (at, key) for key in wanted if isinstance(value, dict) and key not in value)
            elif keyword == "properties":
                for key in set(wanted) & set(value if isinstance(value, dict) else ()):
                    named.add(key)
                    wrong.extend(self.all_wrong(wanted[key], value[key], at + "." + key))
            elif keyword == "items":
                for i, item in enumerate(value if isinstance(value, list) else ()):
                    wrong.extend(self.all_wrong(wanted, item, "%s[%d]" % (at, i)))
            elif keyword == "oneOf":
                ways = [self.wrong(way, value, at) for way in wanted]
                fitting = [way for way in ways if not way[0]]
                if len(fitting) == 1:
                    merge(fitting[0])
                else:
                    # What was meant is rather the way whose constants fit.
                    best = min((way[0] for way in ways), key=lambda w: (any(" is not " in one for one in w), len(w)))
                    wrong.append("%s fits %d of the ways; %s" % (at, len(fitting), "; ".join(best)))
            else:
                sys.exit("fits_schema: what is %s?" % keyword)
        return wrong, named

    def all_wrong(self, schema, value, at):
        wrong, named = self.wrong(schema, value, at)
        if isinstance(value, dict) and not wrong:
            wrong.extend("%s.%s is not in the schema" % (at, key) for key in value if key not in named)
        return wrong

    def resolved(self, reference):
        schema = self.root
        for part in reference.removeprefix("#/").split("/"):
            schema = schema[part]
        return schema


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        root = json.load(file)
    schema = {"$ref": sys.argv[2]} if len(sys.argv) > 2 else root
    count = bad = 0
    for line in sys.stdin.buffer:
        count += 1
        wrong = Fit(root).all_wrong(schema, json.loads(line), "event" if schema is root else "it")
        bad += bool(wrong)
        for what in wrong:
            print("line %d: %s" % (count, what), file=sys.stderr)
    if count == 0:
        sys.exit("fits_schema: nothing to look at")
    return 1 if bad else 0


sys.exit(main())
