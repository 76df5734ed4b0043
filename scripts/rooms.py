#!/usr/bin/env python3
"""Checks the imports between rooms against scripts/rooms.txt.

A room is a module directly below a crate's `src`, with every file in it. Each line of rooms.txt, `crate/room: room room`,
lists the rooms that it may use; the table must have no cycle. An import counts for the file that defines the item, so a
re-export hides nothing. Test code does not count. `--table` prints the imports that exist."""
import re, sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATH = r"[A-Za-z_]\w*"

def code(text):
    """Returns the source without comments, strings and tests."""
    text = re.split(r"(?m)^#\[cfg\(test\)\]\s*(?:pub(?:\(\w+\))? )?mod tests\b", text)[0]
    return re.sub(r'//[^\n]*|r(#*)"[\s\S]*?"\1|"(?:\\.|[^"\\])*"', "", text)

def leaves(tree, prefix=()):
    """Yields the (path, alias) pairs of a use tree."""
    head, brace, rest = tree.strip().partition("{")
    path = prefix + tuple(part for part in re.findall(rf"{PATH}|\*", head.split(" as ")[0]))
    if not brace:
        if head.strip():
            path = path[:-1] if path[-1] == "self" else path
            yield path, (head.split(" as ")[1].strip() if " as " in head else path[-1])
        return
    depth, part = 0, ""
    for letter in rest.rstrip()[:-1] + ",":
        depth += (letter == "{") - (letter == "}")
        part += letter
        if letter == "," and depth == 0:
            yield from leaves(part[:-1], path)
            part = ""

class Crate:
    def __init__(self, name):
        src, self.files, self.uses = ROOT / "crates" / name / "src", {}, {}
        for file in sorted(src.rglob("*.rs")):
            parts = file.relative_to(src).with_suffix("").parts
            module = () if parts in (("lib",), ("main",)) else parts[:-1] if parts[-1] == "mod" else parts
            if parts != ("main",) and "tests" not in module:
                self.files[module] = code(file.read_text())
        for module, text in self.files.items():
            trees = re.findall(r"(?m)^\s*(pub(?:\([^)]*\))? )?use ([^;]+);", text)
            self.uses[module] = [(leaf, alias) for _, tree in trees for leaf, alias in leaves(tree)]

    def resolve(self, module, path, seen=()):
        """Returns the module that defines the path, or None for something outside the crate."""
        head, rest, at = path[0], path[1:], module
        if head in ("crate", "self", "super"):
            at = {"crate": (), "self": module, "super": module[:-1]}[head]
        elif module + (head,) in self.files:
            at = module + (head,)
        else:
            bound = [leaf for leaf, alias in self.uses[module] if alias == head and leaf != path]
            if not bound or bound[0][0] == head or len(seen) > 8:
                return None
            return self.resolve(module, bound[0] + rest, seen + ((module, path),))
        while rest and rest[0] == "super":
            at, rest = at[:-1], rest[1:]
        while rest and at + rest[:1] in self.files:
            at, rest = at + rest[:1], rest[1:]
        if rest and (at, rest) not in seen and any(alias == rest[0] for _, alias in self.uses[at]):
            return self.resolve(at, rest, seen + ((at, rest),)) or at
        return at

    def imports(self):
        """Yields (room, room, from module, to module) for each import that leaves its room."""
        for module, text in self.files.items():
            paths = {leaf for leaf, _ in self.uses[module]}
            paths |= {tuple(found.split("::")) for found in re.findall(rf"(?<![\w:]){PATH}(?:::{PATH})+", text)}
            for path in paths:
                to = self.resolve(module, path)
                if module and to and to[0] != module[0]:
                    yield module[0], to[0], module, to

def main():
    allowed, faults = {}, []
    for line in (ROOT / "scripts/rooms.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            room, _, uses = line.partition(":")
            allowed[room.strip()] = [room.split("/")[0] + "/" + use for use in uses.split()]
    for name in sorted(path.name for path in (ROOT / "crates").iterdir()):
        found, crate = defaultdict(set), Crate(name)
        rooms = sorted({module[0] for module in crate.files if module})
        faults += [f"scripts/rooms.txt lacks {name}/{room}" for room in rooms if f"{name}/{room}" not in allowed]
        for room, to, module, target in crate.imports():
            found[room].add(to)
            if f"{name}/{to}" not in allowed.get(f"{name}/{room}", []) and "--table" not in sys.argv:
                faults.append(f"{name}: {'::'.join(module)} uses {'::'.join(target)}")
        if "--table" in sys.argv:
            for room in rooms:
                print(f"{name}/{room}: {' '.join(sorted(found[room]))}".strip())
    while free := [room for room, uses in allowed.items() if not any(use in allowed for use in uses)]:
        allowed = {room: uses for room, uses in allowed.items() if room not in free}
    faults += [f"scripts/rooms.txt: a cycle through {' '.join(allowed)}"] if allowed else []
    sys.exit("\n".join(sorted(set(faults))) or 0)

main()
