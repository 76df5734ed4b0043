// Builds the console into the directory that the daemon embeds. The same sources give the same bytes.
//
//   node build.mjs [directory]    crates/srvd/console if absent
import { copyFileSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = process.argv[2] ?? here("../crates/srvd/console");
mkdirSync(out, { recursive: true });
await build({
  entryPoints: [here("src/app.tsx"), here("src/app.css")],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  alias: { "@srvd/client": here("../clients/typescript/src/index.ts") },
  legalComments: "none",
  outdir: out,
});
copyFileSync(here("src/index.html"), `${out}/index.html`);
