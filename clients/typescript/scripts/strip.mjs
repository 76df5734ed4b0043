// Removes the comments from the generated types: they are most of the package, and docs/protocol.md has them.
import { readFileSync, writeFileSync } from "node:fs";

const file = new URL("../dist/protocol.d.ts", import.meta.url);
writeFileSync(file, readFileSync(file, "utf8").replace(/^ *\/\*\*.*\*\/\n/gm, ""));
