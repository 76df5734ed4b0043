// The content of the published package.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const root = new URL("..", import.meta.url);

test("package contains the built client, its types and nothing else", () => {
  const [packed] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json"], { cwd: root, encoding: "utf8" }));
  const files = packed.files.map(({ path }) => path.replace(/chunk-\w+/, "chunk"));
  const declarations = ["client", "errors", "index", "login", "node", "protocol"].map((name) => `dist/${name}.d.ts`);
  const scripts = ["chunk", "index", "node"].map((name) => `dist/${name}.js`);
  assert.deepEqual(files.sort(), ["README.md", ...declarations, ...scripts, "package.json"].sort());
  assert.ok(packed.size < 16 * 1024, `${packed.size} bytes`);
});

test("browser entry is small and imports no package", () => {
  const dist = new URL("dist/", root);
  let size = 0;
  for (const name of readdirSync(dist).filter((file) => /^(index|chunk-\w+)\.js$/.test(file))) {
    const script = readFileSync(new URL(name, dist), "utf8");
    size += gzipSync(script).length;
    const imports = script.matchAll(/(?:from|import)\s*\(?"([^"]+)"/g);
    for (const [, source] of imports) assert.match(source, /^\.\//, `${name} imports ${source}`);
  }
  assert.ok(size < 12 * 1024, `a page loads ${size} bytes`);
});
