// A frontend in one file: connect, subscribe, log in. Node 22 or newer.
//   node examples/frontend.mjs <runtime directory>/endpoint.json codex [recipe]
import { readFile } from "node:fs/promises";

const [endpointFile, providerId, recipe] = process.argv.slice(2);
const endpoint = JSON.parse(await readFile(endpointFile, "utf8"));
const token = await readFile(endpoint.tokenFile, "utf8");

const socket = new WebSocket(endpoint.url, ["srvd.v1", `srvd.bearer.${token}`]);
await new Promise((open, fail) => ((socket.onopen = open), (socket.onerror = fail)));

const waiting = new Map();
let lastId = 0;
function call(method, params = {}) {
  const id = ++lastId;
  socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
  return new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
}

socket.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  if (message.method === "event") console.log("event", message.params.topic);
  const caller = waiting.get(message.id);
  waiting.delete(message.id);
  if (message.error) caller?.reject(new Error(message.error.message, { cause: message.error }));
  else caller?.resolve(message.result);
};

await call("events.subscribe", { topics: ["identitybundlebindings:changed:*"] });
const { sessionId } = await call("auth.start", { providerId, recipe });

let session = { status: "pending", revision: 0 };
while (session.status !== "success" && session.status !== "failed") {
  session = await call("auth.poll", { sessionId, afterRevision: session.revision, waitMs: 30000 });
  if (session.status === "url-available") console.log("open", session.authUrl);
  if (session.status === "code-emitted") console.log("enter", session.deviceCode, "at", session.verificationUrl);
  // When session.prompt is true, ask the person and: await call("auth.submitcallback", { sessionId, callbackUrl });
}
if (session.status === "failed") throw new Error(`${session.errorKind}: ${session.error}`);
console.log("logged in", session.email, "in bundle", session.bundleId);
socket.close();
