// An npm registry on a loopback port that serves the tarballs of one directory and nothing else, for scripts/packages.sh.
// Prints its URL. Usage: registry.mjs DIR
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { execFileSync } from "node:child_process";
import { join } from "node:path";

const dir = process.argv[2];
const packages = new Map();
for (const file of readdirSync(dir).filter((name) => name.endsWith(".tgz"))) {
  const text = execFileSync("tar", ["-xzOf", join(dir, file), "package/package.json"], { encoding: "utf8" });
  packages.set(JSON.parse(text).name, { manifest: JSON.parse(text), file, bytes: readFileSync(join(dir, file)) });
}

const server = createServer((request, response) => {
  const path = decodeURIComponent(request.url.slice(1));
  const tarball = [...packages.values()].find((found) => path === `tarballs/${found.file}`);
  if (tarball) return response.end(tarball.bytes);
  const found = packages.get(path);
  if (!found) return response.writeHead(404, { "content-type": "application/json" }).end('{"error":"not found"}');
  const { manifest, file, bytes } = found;
  const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
  const dist = { tarball: `http://${request.headers.host}/tarballs/${file}`, integrity };
  const document = {
    name: manifest.name,
    "dist-tags": { latest: manifest.version },
    versions: { [manifest.version]: { ...manifest, dist } },
  };
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(document));
});
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/`));
