// The client in Node, against a real daemon.
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import net from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { ConnectionError, isRpcError, RpcError } from "@srvd/client";
import { connectLocal } from "@srvd/client/node";
import { WebSocket, WebSocketServer } from "ws";
import { connect } from "@srvd/client";
import { Daemon, signal } from "./daemon.mjs";

// Node 20 has no global WebSocket; a browser has one.
globalThis.WebSocket ??= WebSocket;

let daemon;
before(async () => (daemon = await Daemon.start()));
after(async () => daemon[Symbol.asyncDispose]());

const local = (options) => connectLocal({ endpointFile: daemon.endpointFile, ...options });
const close = (client) => client.close();

test("call returns the result of the method", async () => {
  const client = await local();
  const info = await client.call("srvd.info");
  assert.equal(info.epoch, daemon.endpoint.epoch);
  const bundle = await client.call("bundle.create", { name: "work" });
  assert.equal((await client.call("bundle.get", { bundleId: bundle.id })).name, "work");
  close(client);
});

test("call rejects with a typed error when the daemon answers one", async () => {
  const client = await local();
  const error = await client.call("account.get", { accountId: "account-0" }).catch((caught) => caught);
  assert.ok(error instanceof RpcError && isRpcError(error, "not_found") && !isRpcError(error, "conflict"));
  assert.deepEqual([error.code, error.data.kind], [1001, "not_found"]);
  close(client);
});

test("connect over TCP works with the token and rejects a wrong one", async () => {
  const { url } = daemon.endpoint;
  const client = await connect({ url, token: () => daemon.token });
  assert.equal((await client.call("srvd.ping", { text: "here" })).text, "here");
  close(client);
  await assert.rejects(connect({ url, token: "srvd_wrong" }), (error) => {
    assert.ok(error instanceof ConnectionError);
    assert.equal(error.kind, "unreachable");
    return true;
  });
});

test("connectLocal rejects when no daemon runs", async () => {
  const error = await connectLocal({ endpointFile: `${daemon.endpointFile}.none` }).catch((caught) => caught);
  assert.equal(error.kind, "unreachable");
  assert.match(error.message, /no running daemon/);
});

test("login yields its states and ends when the pasted answer is accepted", async () => {
  const client = await local();
  const login = client.login({ providerId: "fake", bundleName: "pasted" });
  const seen = [];
  let answered = false;
  for await (const session of login) {
    seen.push(session.status);
    if (session.prompt && !answered) {
      answered = true;
      assert.deepEqual((await login.answer("https://login.fake.test/callback?code=c1&state=s1")).success, true);
    }
    if (session.status === "success") assert.equal(session.email, "ann@fake.test");
  }
  assert.equal(seen.at(-1), "success", JSON.stringify(seen));
  assert.ok(seen.includes("url-available"));
  close(client);
});

test("login is cancelled when its loop is left early", async () => {
  const client = await local();
  const login = client.login({ providerId: "fake", bundleName: "left" });
  for await (const session of login) if (session.status === "url-available") break;
  const session = await client.call("auth.poll", { sessionId: await login.start() });
  assert.equal(session.status, "failed");
  close(client);
});

test("login rejects when the provider is unknown", async () => {
  const client = await local();
  const error = await client.login({ providerId: "codecs" }).start().catch((caught) => caught);
  assert.ok(isRpcError(error, "unknown_provider"));
  close(client);
});

test("wait for a call ends when its signal is aborted or its time is over", async () => {
  const client = await local();
  // A stopped daemon answers nothing.
  daemon.child.kill("SIGSTOP");
  const controller = new AbortController();
  const aborted = assert.rejects(client.call("srvd.info", {}, { signal: controller.signal }), { kind: "aborted" });
  controller.abort();
  await aborted;
  await assert.rejects(client.call("srvd.info", {}, { timeoutMs: 1 }), { kind: "timeout" });
  daemon.child.kill("SIGCONT");
  assert.equal((await client.call("srvd.ping", { text: "later" })).text, "later");
  close(client);
});

test("calls fail with closed when the client is closed", async () => {
  const client = await local();
  close(client);
  await assert.rejects(client.call("srvd.info"), { kind: "closed" });
});

/** A proxy in front of the daemon, whose connections can be cut, and which can hold new ones back. */
async function proxy() {
  const sockets = new Set();
  const socket = join(daemon.root, `proxy-${Math.random()}.sock`);
  const through = { held: undefined, endpointFile: `${socket}.json` };
  const server = net.createServer(async (near) => {
    const ends = [near];
    const cut = () => ends.forEach((end) => end.destroy());
    sockets.add(near.on("error", () => {}).on("close", () => (cut(), sockets.delete(near))));
    await through.held;
    const far = net.connect(daemon.endpoint.socket).on("error", () => {}).on("close", cut);
    ends.push(far);
    near.pipe(far).pipe(near);
  });
  server.listen(socket);
  await once(server, "listening");
  writeFileSync(through.endpointFile, JSON.stringify({ ...daemon.endpoint, socket }));
  through.cut = () => sockets.forEach((near) => near.destroy());
  through.stop = () => (through.cut(), server.close());
  return through;
}

test("subscription receives the events of a lost connection when it is restored", async () => {
  const through = await proxy();
  const lost = signal();
  const hold = signal();
  const states = [];
  const client = await connectLocal({
    endpointFile: through.endpointFile,
    onState: ({ state }) => (states.push(state), state === "waiting" && lost.resolve()),
    retryMs: { first: 1, longest: 5 },
  });
  let missed = 0;
  const received = signal();
  const subscription = client.subscribe(["identitybundles:changed"], received.resolve, { onMissed: () => missed++ });
  await subscription.ready;
  // The next connection waits until the change is made, so that the change falls into the gap.
  through.held = hold.promise;
  through.cut();
  await lost.promise;
  const other = await local();
  await other.call("bundle.create", { name: "made in the gap" });
  hold.resolve();
  const event = await received.promise;
  assert.deepEqual([event.topic, missed], ["identitybundles:changed", 0]);
  assert.deepEqual(states, ["connecting", "open", "waiting", "connecting", "open"]);
  [client, other].forEach(close);
  through.stop();
});

test("call in flight fails with lost when the connection is cut, and a later call waits for the next one", async () => {
  const through = await proxy();
  const client = await connectLocal({ endpointFile: through.endpointFile, retryMs: { first: 1, longest: 5 } });
  daemon.child.kill("SIGSTOP");
  const failed = assert.rejects(client.call("srvd.info"), { kind: "lost" });
  through.cut();
  await failed;
  daemon.child.kill("SIGCONT");
  assert.equal((await client.call("srvd.ping", { text: "again" })).text, "again");
  close(client);
  through.stop();
});

test("client connects again when it receives a message that is not JSON", async () => {
  const socket = join(daemon.root, "garbage.sock");
  const endpointFile = `${socket}.json`;
  const http = createServer().listen(socket);
  await once(http, "listening");
  writeFileSync(endpointFile, JSON.stringify({ ...daemon.endpoint, socket }));
  const peer = new WebSocketServer({ server: http });
  peer.once("connection", (connection) => connection.send("}{"));
  const states = [];
  const again = signal();
  const client = await connectLocal({
    endpointFile,
    onState: (state) => (states.push(state), states.length === 5 && again.resolve()),
    retryMs: { first: 1, longest: 5 },
  });
  await again.promise;
  assert.deepEqual(states.map(({ state }) => state), ["connecting", "open", "waiting", "connecting", "open"]);
  assert.match(states[2].error.message, /not JSON/);
  close(client);
  peer.close();
  http.close();
});

test("client reconnects and reports missed events when the daemon was restarted", async () => {
  const missed = signal();
  const client = await local({ retryMs: { first: 10, longest: 100 } });
  const topics = [];
  const received = signal();
  const subscription = client.subscribe(["*"], (event) => (topics.push(event.topic), received.resolve()), { onMissed: missed.resolve });
  await subscription.ready;
  const { epoch } = await client.call("srvd.info");
  await daemon.down("SIGKILL");
  await daemon.up();
  await missed.promise;
  assert.notEqual((await client.call("srvd.info")).epoch, epoch);
  await client.call("bundle.create", { name: "after the restart" });
  await received.promise;
  subscription.close();
  close(client);
});
