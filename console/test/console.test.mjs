// The console in Chromium, by keyboard, against a real daemon whose provider's CLI is a script.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { mkdir } from "node:fs/promises";
import { after, before, test } from "node:test";

import { chromium } from "playwright-core";

import { Daemon } from "../../clients/typescript/test/daemon.mjs";

const axe = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const screens = process.env.SRVD_TEST_SCREENS;
const KEY = "sk-planted-0123456789-planted-0123456789";

let daemon, browser;
before(async () => {
  daemon = await Daemon.start();
  browser = await chromium.launch({
    executablePath: process.env.SRVD_TEST_CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-background-networking",
      "--disable-component-update",
      "--no-first-run",
      "--host-resolver-rules=MAP rebound.test 127.0.0.1",
    ],
  });
});
after(async () => {
  await browser?.close();
  await daemon?.[Symbol.asyncDispose]();
});

const port = () => new URL(daemon.endpoint.url).port;
const fresh = () => JSON.parse(daemon.run("console", "--no-open", "--json")).url;

/** Opens the console in a new browser profile, and collects what must not happen. */
async function open(options = {}) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  await page.goto(fresh());
  await page.getByRole("heading", { name: "Identities" }).waitFor();
  return { context, page, faults };
}

/** Moves the focus with Tab until it is on the element. */
async function focus(page, locator) {
  await locator.waitFor();
  for (let presses = 0; presses < 200; presses++) {
    if (await locator.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press("Tab");
  }
  throw new Error("the element cannot be reached by keyboard");
}

async function press(page, role, name) {
  const locator = page.getByRole(role, { name, exact: true });
  await focus(page, locator);
  await page.keyboard.press("Enter");
}

async function fill(page, label, text) {
  await focus(page, page.getByLabel(label, { exact: true }));
  await page.keyboard.type(text);
}

const accounts = () => JSON.parse(daemon.run("accounts", "--json")).accounts;

test("login is completed by keyboard and shown in the table and by the command line", async () => {
  const { context, page, faults } = await open();
  await press(page, "link", "Log in");
  await fill(page, "Provider", "Fake");
  await fill(page, "Name of the new bundle", "work");
  await press(page, "button", "Start");
  const link = page.getByRole("link", { name: "Open the login page" });
  await link.waitFor();
  // A reload keeps the login, whose id is in the URL.
  await page.reload();
  await link.waitFor();
  await fill(page, "Answer", "https://login.fake.test/callback?code=c1&state=s1");
  await page.keyboard.press("Enter");
  await page.getByText("Logged in as ann@fake.test.").waitFor();
  await press(page, "button", "Done");
  const table = page.getByRole("table", { name: "work" });
  await table.getByRole("row", { name: /fake ann@fake\.test ✓ valid/ }).waitFor();
  assert.deepEqual(accounts().map(({ email, status }) => [email, status]), [["ann@fake.test", "valid"]]);
  assert.deepEqual(faults, []);
  await context.close();
});

test("key is added by keyboard and never comes back", async () => {
  const { context, page, faults } = await open();
  const bodies = [];
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => bodies.push(String(payload))));
  await page.reload();
  await press(page, "link", "Add key");
  await fill(page, "Provider", "OpenAI");
  await fill(page, "API key", KEY);
  await fill(page, "Name of the new bundle", "keys");
  await focus(page, page.getByLabel("Ask the provider whether the key works"));
  await page.keyboard.press("Space");
  await press(page, "button", "Save");
  await page.getByRole("table", { name: "keys" }).waitFor();
  assert.equal(accounts().filter(({ kind }) => kind === "api_key").length, 1);
  assert.ok(bodies.length > 0 && !bodies.join().includes(KEY));
  assert.ok(!(await page.content()).includes(KEY));
  assert.deepEqual(faults, []);
  await context.close();
});

test("change of another client and a restart of the daemon reach an open page", async () => {
  const { context, page } = await open();
  daemon.run("bundle", "create", "from the command line");
  await page.getByRole("heading", { name: "from the command line" }).waitFor();
  // A session ends with its daemon, and the page says how old it is.
  const listen = `127.0.0.1:${port()}`;
  await daemon.down();
  await page.getByText(/^No connection to the daemon\. This page shows the state of/).waitFor();
  await daemon.up("--listen", listen);
  await page.goto(fresh());
  await page.getByRole("heading", { name: "from the command line" }).waitFor();
  await context.close();
});

test("bundle is renamed, shared and deleted by keyboard", async () => {
  const { context, page, faults } = await open();
  await press(page, "link", "Settings from the command line");
  const name = page.getByLabel("Name", { exact: true });
  await focus(page, name);
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("renamed");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Settings of renamed" }).waitFor();
  await focus(page, page.getByRole("group", { name: /^Your own settings/ }).getByRole("radio", { checked: true }));
  await page.keyboard.press("ArrowUp");
  await page.getByRole("radio", { name: "Shared with this bundle's CLIs", checked: true }).waitFor();
  const shared = () => JSON.parse(daemon.run("share", "--bundle", "renamed", "--json")).share;
  for (let tries = 0; shared() !== "mine" && tries < 100; tries++);
  assert.equal(shared(), "mine");
  await press(page, "button", "Delete the bundle");
  await press(page, "button", "Yes");
  await page.getByRole("heading", { name: "renamed", exact: true }).waitFor({ state: "detached" });
  assert.ok(!daemon.run("bundles", "--json").includes("renamed"));
  assert.deepEqual(faults, []);
  await context.close();
});

test("account is forgotten by keyboard after a question", async () => {
  const { context, page, faults } = await open();
  await press(page, "button", "Forget ann@fake.test");
  await press(page, "button", "Yes");
  await page.getByRole("row", { name: /ann@fake\.test/ }).waitFor({ state: "detached" });
  assert.ok(!daemon.run("accounts", "--json").includes("ann@fake.test"));
  assert.deepEqual(faults, []);
  await context.close();
});

test("session is ended from another browser and by the command line", async () => {
  const one = await open();
  const other = await open();
  await other.page.goto(`http://127.0.0.1:${port()}/console/#/access`);
  await other.page.getByText("this page").waitFor();
  const lines = other.page.getByRole("listitem");
  const before = await lines.count();
  await press(other.page, "button", /^End/).catch(async () => {
    await lines.first().getByRole("button").focus();
    await other.page.keyboard.press("Enter");
  });
  await one.page.getByText(/No connection|closed by the daemon/).or(other.page.getByText(/No connection/)).first().waitFor();
  assert.ok(before >= 2);
  daemon.run("console", "--end", "all");
  assert.deepEqual(JSON.parse(daemon.run("console", "--list", "--json")).sessions, []);
  await Promise.all([one, other].map(({ context }) => context.close()));
});

test("pages have no finding of axe and no fault, light and dark, wide and narrow", async () => {
  for (const colorScheme of ["light", "dark"]) {
    for (const width of [1280, 360]) {
      const { context, page, faults } = await open({ colorScheme, viewport: { width, height: 800 } });
      for (const [route, heading] of [
        ["/", "Identities"],
        ["/forges", "Forges"],
        ["/doctor", "Doctor"],
        ["/audit", "Audit"],
        ["/access", "Access"],
        ["/login", "Log in"],
        ["/key", "Add a key"],
        ["/new", "New bundle"],
      ]) {
        await page.evaluate((hash) => (location.hash = hash), route);
        await page.getByRole("heading", { name: heading }).first().waitFor();
        await page.evaluate(() => document.fonts.ready);
        const found = await page.evaluate(`${axe}; axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html).join(" | ")))`);
        assert.deepEqual(found, [], `${route} ${colorScheme} ${width}`);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(overflow <= 0, `${route} is ${overflow} px too wide at ${width} px`);
        if (screens) {
          await mkdir(screens, { recursive: true });
          await page.screenshot({ path: `${screens}/${route.slice(1) || "identities"}-${colorScheme}-${width}.png` });
        }
      }
      assert.deepEqual(faults, []);
      await context.close();
    }
  }
});

test("code works once, and a page without a session shows the command", async () => {
  const url = fresh();
  for (const expected of ["Identities", "srvd"]) {
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.goto(url);
    await page.getByRole("heading", { name: expected }).waitFor();
    if (expected === "srvd") await page.getByText("This link was already used or is older than a minute.").waitFor();
    await context.close();
  }
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`http://127.0.0.1:${port()}/console/`);
  await page.getByText("Run srvd console in a terminal.").waitFor();
  await context.close();
});

test("code leaves the URL and the history", async () => {
  const { context, page } = await open();
  assert.equal(new URL(page.url()).hash.includes("code"), false);
  await page.goBack().catch(() => {});
  assert.ok(!page.url().includes("code="));
  await context.close();
});

test("other origins, ports and rebound names get nothing", async () => {
  const { context } = await open();
  const attacker = createServer((_, response) => {
    response.setHeader("Content-Type", "text/html");
    response.end("<title>attacker</title>");
  }).listen(0, "127.0.0.1");
  await once(attacker, "listening");
  const code = new URL(fresh()).hash.slice("#code=".length);
  const [cookie] = await context.cookies(`http://127.0.0.1:${port()}`);
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict");
  const target = `http://127.0.0.1:${port()}`;
  for (const origin of [`http://127.0.0.1:${attacker.address().port}`, `http://rebound.test:${attacker.address().port}`]) {
    // The same browser, so that its cookie is sent to every port of the host.
    const page = await context.newPage();
    await page.goto(origin);
    const outcome = await page.evaluate(
      async ({ target, code }) => {
        const answer = (path, init) => fetch(target + path, { credentials: "include", ...init }).then((got) => got.text(), () => "refused");
        const socket = (protocols) =>
          new Promise((resolve) => {
            const one = new WebSocket(target.replace("http", "ws") + "/rpc", protocols);
            one.onopen = () => resolve("open");
            one.onerror = () => resolve("refused");
          });
        return [
          await answer("/console/"),
          await answer("/console/session", { method: "POST", body: code }),
          await answer("/rpc", { method: "POST", body: "{}" }),
          await socket(["srvd.v1"]),
          await socket(["srvd.v1", `srvd.console.${"A".repeat(43)}`]),
        ];
      },
      { target, code },
    );
    assert.deepEqual(outcome, Array(5).fill("refused"), origin);
    await page.close();
  }
  // A name that was rebound to this machine fails at `Host`, whatever else it knows.
  const page = await context.newPage();
  const answer = await page.goto(`http://rebound.test:${port()}/console/`);
  assert.equal(answer.status(), 403);
  attacker.close();
  await context.close();
});

test("script that is put into the page does not run", async () => {
  const { context, page } = await open();
  const blocked = await page.evaluate(() => {
    try {
      document.body.innerHTML = "<img src=x onerror=window.ran=1>";
      return false;
    } catch {
      return true;
    }
  });
  assert.ok(blocked);
  await context.close();
});

test("1,000 identities are shown and filtered", async () => {
  const { context, page, faults } = await open();
  await page.evaluate(() => (location.hash = "/access"));
  const { connectLocal } = await import("@srvd/client/node");
  const client = await connectLocal({ endpointFile: daemon.endpointFile });
  for (let at = 0; at < 1000; at++) {
    await client.call("auth.submitapikey", { providerId: "openai", apiKey: `${KEY}${at}`, validate: false, bundleName: `many ${at}` });
  }
  const started = performance.now();
  await page.evaluate(() => (location.hash = "/"));
  await page.getByRole("table", { name: "many 999" }).waitFor();
  const shown = performance.now() - started;
  await page.getByLabel("Filter").fill("many 777");
  await page.getByRole("table", { name: "many 999" }).waitFor({ state: "detached" });
  console.log(`1,000 identities: shown after ${Math.round(shown)} ms`);
  assert.deepEqual(faults, []);
  client.close();
  await context.close();
});
