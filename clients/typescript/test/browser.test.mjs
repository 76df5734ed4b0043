// The client in Chromium, against a real daemon: the window of README.md.
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { chromium } from "playwright-core";

import { connectLocal } from "@srvd/client/node";
import { Daemon } from "./daemon.mjs";

const root = new URL("..", import.meta.url);
const example = readFileSync(new URL("README.md", root), "utf8").match(/```html\n(.*?)```/s)[1];

/** Serves the example and the built client, as a frontend's own server would. */
const server = createServer((request, response) => {
  const path = request.url.split("?")[0];
  const file = /^\/(dist\/[\w-]+\.js)$/.exec(path)?.[1];
  response.setHeader("Content-Type", file ? "text/javascript" : "text/html");
  response.end(file ? readFileSync(new URL(file, root)) : path === "/" ? example : "");
});

let daemon, browser, origin;
before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  origin = `http://127.0.0.1:${server.address().port}`;
  daemon = await Daemon.start({ config: `[listen]\norigins = ["${origin}"]\n` });
  browser = await chromium.launch({
    executablePath: process.env.SRVD_TEST_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"],
  });
});
after(async () => {
  await browser?.close();
  await daemon?.[Symbol.asyncDispose]();
  server.close();
});

async function window() {
  const page = await browser.newPage();
  const failures = [];
  page.on("pageerror", (error) => failures.push(error));
  await page.goto(`${origin}/?url=${encodeURIComponent(daemon.endpoint.url)}#${daemon.token}`);
  return { page, failures };
}

test("window lists an identity when a login started in it succeeds", async () => {
  const { page, failures } = await window();
  await page.getByRole("button", { name: "Log in" }).click();
  const link = page.getByRole("link", { name: "Open the login page" });
  assert.match(await link.getAttribute("href"), /^https:\/\/login\.fake\.test\/authorize\?state=s1/);
  await page.getByLabel("Answer").fill("https://login.fake.test/callback?code=c1&state=s1");
  await page.keyboard.press("Enter");
  await page.getByRole("listitem").filter({ hasText: "ann@fake.test: valid" }).waitFor();
  assert.deepEqual(failures, []);
  await page.close();
});

test("window shows a change that another client made, also after a restart of the daemon", async () => {
  const { page, failures } = await window();
  const item = page.getByRole("listitem").filter({ hasText: "ann@fake.test" });
  await item.waitFor();
  // On the same port, or the window could not find it.
  const { port } = new URL(daemon.endpoint.url);
  await daemon.down();
  await daemon.up("--listen", `127.0.0.1:${port}`);
  await page.evaluate((token) => (location.hash = token), daemon.token);
  await page.getByText("connected").waitFor();
  const other = await connectLocal({ endpointFile: daemon.endpointFile });
  const { accounts } = await other.call("account.list");
  await other.call("account.delete", { accountId: accounts[0].id });
  other.close();
  await item.waitFor({ state: "detached" });
  assert.deepEqual(failures, []);
  await page.close();
});
