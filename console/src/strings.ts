/** Every text that the console shows. */
export const text = {
  title: "srvd",
  pages: {
    identities: "Identities",
    forges: "Forges",
    doctor: "Doctor",
    audit: "Audit",
    access: "Access",
  },
  skip: "Skip to the content",
  close: "Close",
  copied: "Copied",
  notCopied: "Select the text to copy it",
  connection: {
    lost: (age: string) => `No connection to the daemon. This page shows the state of ${age}.`,
    ended: (age: string) => `The session has ended. This page shows the state of ${age}. To continue, run: srvd console`,
    reading: "Checking",
  },
  handover: {
    used: "This link was already used or is older than a minute.",
    none: "This page needs a link from the command line.",
    again: "Run srvd console in a terminal.",
  },
  marks: {
    valid: "valid",
    expiring: "expires soon",
    expired: "expired",
    refreshable: "expired, renews itself",
    needs_reauth: "log in again",
    invalid: "rejected",
    missing: "missing",
    unknown: "unknown",
  } as Record<string, string>,
  identities: {
    filter: "Filter",
    logIn: "Log in",
    addKey: "Add key",
    newBundle: "New bundle",
    noBundles: "There is no bundle yet. Log in to a provider to make the first one.",
    noneMatch: "No identity matches the filter.",
    empty: "No identity",
    provider: "Provider",
    person: "Identity",
    status: "Status",
    checked: "Checked",
    actions: "Actions",
    check: "Check now",
    renew: "Log in again",
    replaceKey: "Replace key",
    forget: "Forget",
    launch: "Launch",
    settings: "Settings",
    limits: "Used",
    limit: (window: string, used: string) => `${window} ${used}`,
    resets: (time: string) => `resets ${time}`,
    unbound: "In no bundle",
    corrupt: (count: number) =>
      count === 1 ? "One account cannot be read. See the doctor." : `${count} accounts cannot be read. See the doctor.`,
    running: "Logins in progress",
    show: "Show",
  },
  login: {
    title: "Log in",
    provider: "Provider",
    way: "Way to log in",
    bundle: "Bundle",
    newBundle: "A new bundle",
    bundleName: "Name of the new bundle",
    start: "Start",
    starting: "Starting the CLI",
    open: "Open the login page",
    copy: "Copy the URL",
    code: "Enter this code on the page:",
    copyCode: "Copy the code",
    paste: "Answer",
    pasteHelp: "Paste the URL or the code that the page shows at its end.",
    send: "Send",
    cancel: "Cancel the login",
    left: (time: string) => `${time} left`,
    success: (who: string) => `Logged in as ${who}.`,
    someone: "the account",
    failed: "The login failed.",
    again: "Try again",
    notInstalled: (name: string) => `${name} (not installed)`,
    done: "Done",
    qr: "QR code of the login page",
    replace: "Accept another person",
  },
  key: {
    title: "Add a key",
    key: "API key",
    save: "Save",
    validate: "Ask the provider whether the key works",
    name: "Name of the account",
    defaultName: "API key",
  },
  bundle: {
    title: (name: string) => `Settings of ${name}`,
    name: "Name",
    rename: "Rename",
    create: "Create",
    delete: "Delete the bundle",
    deleteHelp: "Its logins end on this machine. Accounts of other bundles stay.",
    share: "Your own settings, instructions, skills and MCP servers",
    shareChoices: { mine: "Shared with this bundle's CLIs", nothing: "Not shared" } as Record<string, string>,
    history: "Also share the history",
    unbound: "Providers without an account in this bundle",
    unboundChoices: {
      sealed: "Logged out, with none of your own credentials",
      tools: "Agents are logged out; your own tools, such as gh, stay",
      own: "Your own logins are used",
    } as Record<string, string>,
    exceptions: "Exceptions",
    own: "own",
    sealed: "sealed",
  },
  launch: {
    title: (name: string) => `Launch with ${name}`,
    help: "A program that is started this way uses the accounts of this bundle and no others.",
    shell: "A shell",
    copy: "Copy",
  },
  forges: {
    none: "No forge is configured. Add one to srvd.toml.",
    configured: "Configured in srvd.toml",
    signIn: "Sign in",
    signInWithCode: "Sign in with a code",
    accounts: "Accounts",
    active: "active",
    activate: "Make active",
    remove: "Remove",
    noAccounts: "No account is signed in.",
    waiting: "Waiting for the sign-in at the forge",
    signedIn: (who: string) => `Signed in as ${who}.`,
  },
  doctor: {
    run: "Check again",
    fine: "No problems were found.",
    severity: { error: "error", warning: "warning", note: "note", ok: "ok" } as Record<string, string>,
  },
  audit: {
    none: "There are no entries.",
    more: "Older entries",
    time: "Time",
    actor: "By",
    action: "Action",
    subject: "Subject",
    outcome: "Outcome",
    filterAction: "Action begins with",
    filterSubject: "Subject contains",
    noneMatch: "No entry matches the filter.",
    verify: "To check that the log was not changed, run:",
    verifyCommand: "srvd audit --verify",
  },
  access: {
    tokens: "Tokens of paired clients",
    noTokens: "No client is paired. Run: srvd pair",
    sessions: "Browser sessions of this console",
    here: "this page",
    created: "Created",
    used: "Last used",
    revoke: "Revoke",
    end: "End",
  },
  confirm: {
    forget: (who: string) => `Forget ${who}? The login is removed from this machine. The provider is not notified.`,
    deleteBundle: (name: string) => `Delete ${name}?`,
    removeForge: (who: string) => `Remove ${who}? The tokens are removed from this machine.`,
    revoke: (name: string) => `Revoke the token of ${name}? Its connections end.`,
    yes: "Yes",
    no: "No",
  },
  none: "–",
};

const units: Array<[Intl.RelativeTimeFormatUnit, number]> = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

/** A past time relative to now, such as "2 hours ago". `now` may be a little older than `at`. */
export const ago = (at: number, now: number): string => fromNow(Math.min(at, now), now);

/** A future time relative to now, such as "in 2 hours". */
export const until = (at: number, now: number): string => fromNow(Math.max(at, now), now);

function fromNow(at: number, now: number): string {
  const [unit, size] = units.find(([, size]) => Math.abs(at - now) >= size) ?? ["second", 1000];
  return relative.format(Math.trunc((at - now) / size), unit);
}

export const clock = (at: number) => new Date(at).toLocaleString();

/** Minutes and seconds, such as "4:05". */
export const countdown = (ms: number) =>
  `${Math.floor(ms / 60_000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, "0")}`;
