// Checks an OpenRPC document: node check.mjs openrpc.json DIR
// It must be valid for @open-rpc/schema-utils-js, each of its schemas for ajv in strict mode, each example for its
// schemas, and the types that @open-rpc/typings makes of it must compile with `tsc --strict`.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

// The packages are beside the copy of this file, in target/openrpc.
const require = createRequire(import.meta.url);
const { parseOpenRPCDocument, validateOpenRPCDocument } = require("@open-rpc/schema-utils-js");
const { Ajv } = require("ajv");
const OpenRPCTypings = require("@open-rpc/typings").default;

const [path, dir] = process.argv.slice(2);
const text = readFileSync(path, "utf8");
const document = JSON.parse(text);
const faults = [];
const fault = (what) => faults.push(what);

const valid = validateOpenRPCDocument(JSON.parse(text));
if (valid !== true) fault(`not valid OpenRPC: ${valid.message.slice(0, 2000)}`);
const parsed = await parseOpenRPCDocument(JSON.parse(text));

// Every schema of the document, with the definitions that it refers to.
const ajv = new Ajv({ strict: true, allErrors: true, strictTypes: true, strictRequired: true });
// The container of the schemas is not a keyword of JSON Schema.
ajv.addKeyword("components");
ajv.addSchema({ $id: "openrpc", components: document.components }, "openrpc");
const compile = (schema, what) => {
  try {
    return ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"openrpc#/components')));
  } catch (error) {
    fault(`${what}: ${error.message}`);
    return () => true;
  }
};
const untitled = (schema, what) => {
  if (Array.isArray(schema)) return schema.forEach((one, at) => untitled(one, `${what}/${at}`));
  if (schema === null || typeof schema !== "object") return undefined;
  if (!("title" in schema) && !("$ref" in schema)) fault(`${what} has no title`);
  for (const key of ["properties", "patternProperties"]) {
    for (const [name, inner] of Object.entries(schema[key] ?? {})) untitled(inner, `${what}.${name}`);
  }
  for (const key of ["items", "anyOf", "oneOf", "allOf"]) untitled(schema[key] ?? [], `${what} ${key}`);
  if (typeof schema.additionalProperties === "object") untitled(schema.additionalProperties, `${what} values`);
  return undefined;
};
for (const [name, schema] of Object.entries(document.components.schemas)) {
  compile({ $ref: `#/components/schemas/${name}` }, name);
  untitled(schema, name);
}
let examples = 0;
for (const method of document.methods) {
  const params = new Map(method.params.map((param) => [param.name, compile(param.schema, `${method.name} ${param.name}`)]));
  for (const param of method.params) untitled(param.schema, `${method.name} ${param.name}`);
  const result = compile(method.result.schema, `${method.name} result`);
  untitled(method.result.schema, `${method.name} result`);
  if (!method["x-scope"]) fault(`${method.name} has no scope`);
  if (!method.errors.length) fault(`${method.name} has no errors`);
  for (const example of method.examples ?? []) {
    examples += 1;
    for (const { name, value } of example.params) {
      const fits = params.get(name);
      if (!fits) fault(`${method.name} ${example.name}: no parameter ${name}`);
      else if (!fits(value)) fault(`${method.name} ${example.name} ${name}: ${ajv.errorsText(fits.errors)}`);
    }
    for (const { name, required } of method.params) {
      if (required && !example.params.some((one) => one.name === name)) fault(`${method.name} ${example.name} lacks ${name}`);
    }
    if (!result(example.result.value)) fault(`${method.name} ${example.name}: ${ajv.errorsText(result.errors)}`);
  }
}

const typings = new OpenRPCTypings(parsed);
writeFileSync(join(dir, "typings.ts"), typings.toString("typescript", { includeSchemaTypings: true, includeMethodAliasTypings: true }));
try {
  execFileSync(process.execPath, [require.resolve("typescript/package.json").replace("package.json", "bin/tsc"),
    "--strict", "--noEmit", "--ignoreConfig", "--target", "es2022", "--module", "esnext", join(dir, "typings.ts")], { encoding: "utf8" });
} catch (error) {
  fault(`tsc --strict: ${(error.stdout || error.message).slice(0, 2000)}`);
}
for (const name of readFileSync(join(dir, "typings.ts"), "utf8").match(/\b\w*_?[A-Za-z]+_?[A-Za-z0-9]{8,}_[A-Za-z0-9]{8}\b/g) ?? []) {
  fault(`a generated name looks like a hash: ${name}`);
}

if (faults.length) {
  console.error(`openrpc: ${faults.length} faults`);
  for (const one of faults.slice(0, 40)) console.error(`openrpc: ${one}`);
  process.exit(1);
}
console.log(`openrpc: ${document.methods.length} methods, ${Object.keys(document.components.schemas).length} schemas and ${examples} examples are valid; the types compile`);
