// A real daemon in a directory of its own, with a provider whose CLI is a shell script.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const program = process.env.SRVD_TEST_PROGRAM;
if (!program) throw new Error("SRVD_TEST_PROGRAM must be the path of the built srvd");

const ENTRY = `
[providers.fake]
display-name = "Fake"
class = "oauth"
[providers.fake.cli]
binaries = ["fakecli"]
install = "write a script"
tested = "1.2.3"
url-hosts = ["login.fake.test"]
[providers.fake.cli.config-dir]
var = "FAKE_HOME"
name = "fake"
ambient = "~/.fake"
[providers.fake.cli.credential]
path = "credentials.json"
requires = ["/access"]
email = { pointer = "/email" }
[[providers.fake.cli.recipes]]
id = "login"
args = ["login"]
paste = { shapes = ["url", "code_state"], delivery = "stdin_line", form = "code_state" }
[providers.fake.cli.recipes.patterns]
prompt = 'Paste code here >\\s*$'
logged-in = ['^Logged in']
`;

const CLI = `#!/bin/sh
if [ "$1" = --version ]; then echo "fakecli 1.2.3"; exit; fi
echo "Open https://login.fake.test/authorize?state=s1&redirect_uri=https%3A%2F%2Flogin.fake.test%2Fcallback"
printf 'Paste code here > '
read -r pasted
echo '{"access":"planted-token","email":"ann@fake.test"}' > "$FAKE_HOME/credentials.json"
echo "Logged in."
`;

export class Daemon {
  root = mkdtempSync(join(tmpdir(), "srvd-client-"));
  endpointFile = join(this.root, "run/endpoint.json");

  /** `files` are further files, by path below the root. Those in `bin` are programs. */
  static async start({ config = "", files = {} } = {}) {
    const daemon = new Daemon();
    for (const dir of ["home", "config", "config/providers.d", "data", "bin"]) {
      mkdirSync(join(daemon.root, dir), { mode: 0o700 });
    }
    writeFileSync(join(daemon.root, "config/srvd.toml"), config, { mode: 0o600 });
    writeFileSync(join(daemon.root, "config/providers.d/fake.toml"), ENTRY, { mode: 0o600 });
    writeFileSync(join(daemon.root, "bin/fakecli"), CLI);
    chmodSync(join(daemon.root, "bin/fakecli"), 0o755);
    for (const [path, content] of Object.entries(files)) {
      writeFileSync(join(daemon.root, path), content, { mode: path.startsWith("bin/") ? 0o700 : 0o600 });
    }
    daemon.run("key", "generate");
    await daemon.up();
    return daemon;
  }

  get environment() {
    return {
      HOME: join(this.root, "home"),
      PATH: `${join(this.root, "bin")}:/usr/local/bin:/usr/bin:/bin`,
      SRVD_CONFIG_DIR: join(this.root, "config"),
      SRVD_DATA_DIR: join(this.root, "data"),
      SRVD_RUNTIME_DIR: join(this.root, "run"),
    };
  }

  run(...args) {
    return execFileSync(program, args, { env: this.environment, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  }

  async up(...args) {
    const log = openSync(join(this.root, "log"), "a");
    this.child = spawn(program, ["serve", ...args], { env: this.environment, stdio: ["ignore", log, log] });
    this.ended = once(this.child, "exit");
    this.run("wait", "--timeout", "30");
  }

  async down(signal = "SIGTERM") {
    this.child.kill(signal);
    await this.ended;
  }

  get endpoint() {
    return JSON.parse(readFileSync(this.endpointFile, "utf8"));
  }

  get token() {
    return readFileSync(this.endpoint.tokenFile, "utf8");
  }

  get log() {
    return readFileSync(join(this.root, "log"), "utf8");
  }

  async [Symbol.asyncDispose]() {
    await this.down("SIGKILL");
    rmSync(this.root, { recursive: true });
  }
}

/** A promise, and the function that resolves it. */
export function signal() {
  let resolve, reject;
  const promise = new Promise((one, other) => ((resolve = one), (reject = other)));
  return { promise, resolve, reject };
}
