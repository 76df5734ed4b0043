// The content of the published package.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";

const root = new URL("..", import.meta.url);

test("package contains the built client, its types and nothing else", () => {
  const [packed] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: root, encoding: "utf8" }));
  const files = packed.files.map(({ path }) => path.replace(/chunk-\w+/, "chunk"));
  const declarations = ["client", "errors", "index", "login", "node", "protocol"].map((name) => `dist/${name}.d.ts`);
  const scripts = ["chunk", "index", "node"].map((name) => `dist/${name}.js`);
  assert.deepEqual(files.sort(), ["README.md", ...declarations, ...scripts, "package.json"].sort());
  assert.ok(packed.size < 16 * 1024, `${packed.size} bytes`);
});

test("browser entry imports no package", () => {
  const dist = new URL("dist/", root);
  for (const name of readdirSync(dist).filter((file) => /^(index|chunk-\w+)\.js$/.test(file))) {
    const imports = readFileSync(new URL(name, dist), "utf8").matchAll(/(?:from|import)\s*\(?"([^"]+)"/g);
    for (const [, source] of imports) assert.match(source, /^\.\//, `${name} imports ${source}`);
  }
});
