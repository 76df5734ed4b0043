/** The console: the hand-over, the connection, and the page of the route. */
import type { Client, ConnectionState } from "@srvd/client";
import { render } from "preact";
import { useEffect } from "preact/hooks";

import { Access } from "./access.js";
import { Audit } from "./audit.js";
import { BundleDialog, LaunchDialog, NewBundle } from "./bundle.js";
import { Doctor } from "./doctor.js";
import { Forges } from "./forges.js";
import { Identities } from "./identities.js";
import { KeyDialog } from "./key.js";
import { LoginDialog } from "./login.js";
import { Empty } from "./parts.js";
import { connect, followLinks, forget, handOver, isRefused, isSecret, type NoSession } from "./session.js";
import { ClientContext, go, type Route, useNow, useRoute } from "./state.js";
import { ago, text } from "./strings.js";

const pages: Record<string, { title: string; Page: () => preact.JSX.Element | null }> = {
  "": { title: text.pages.identities, Page: Identities },
  forges: { title: text.pages.forges, Page: Forges },
  doctor: { title: text.pages.doctor, Page: Doctor },
  audit: { title: text.pages.audit, Page: Audit },
  access: { title: text.pages.access, Page: Access },
};

/** Dialogs lie over the first page, so that a link to one works in a new tab. */
const dialogs: Record<string, (props: { route: Route; close: () => void }) => preact.JSX.Element> = {
  login: LoginDialog,
  key: KeyDialog,
  new: NewBundle,
  bundle: BundleDialog,
  launch: LaunchDialog,
};

function App({ client, state, lostAt }: { client: Client; state: ConnectionState; lostAt: number }) {
  const route = useRoute();
  const name = route.path[0] ?? "";
  const Open = dialogs[name];
  const { title, Page } = pages[name] ?? pages[""]!;
  useEffect(() => {
    document.title = `${title} – ${text.title}`;
  }, [title]);
  const close = () => go("/");
  return (
    <ClientContext.Provider value={client}>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.getElementById("main")?.focus())}>{text.skip}</a>
      <header class="top">
        <strong>{text.title}</strong>
        <nav>
          {Object.entries(pages).map(([key, page]) => (
            <a key={key} href={`#/${key}`} aria-current={page.Page === Page ? "page" : undefined}>{page.title}</a>
          ))}
        </nav>
      </header>
      <Lost state={state} at={lostAt} />
      <main id="main" tabIndex={-1}>
        <h1>{title}</h1>
        <Page />
      </main>
      {Open && <Open key={location.hash} route={route} close={close} />}
    </ClientContext.Provider>
  );
}

/** The age of the page while there is no connection. */
function Lost({ state, at }: { state: ConnectionState; at: number }) {
  const now = useNow();
  if (state.state === "open") return <div class="lost" role="status" hidden />;
  const message = state.state === "closed" ? text.connection.ended : text.connection.lost;
  return <div class="lost" role="status">{message(ago(at, now))}</div>;
}

function NoSessionPage({ reason }: { reason: NoSession }) {
  return (
    <main>
      <h1>{text.title}</h1>
      <Empty>{text.handover[reason]} {text.handover.again}</Empty>
    </main>
  );
}

async function start() {
  const root = document.getElementById("app")!;
  root.replaceChildren();
  followLinks();
  const secret = await handOver();
  if (!isSecret(secret)) return render(<NoSessionPage reason={secret as NoSession} />, root);
  let client: Client | undefined;
  let lostAt = 0;
  let refusals = 0;
  let isOpen = false;
  const show = (state: ConnectionState) => client && render(<App client={client} state={state} lostAt={lostAt} />, root);
  const follow = async (state: ConnectionState) => {
    isOpen = state.state === "open";
    if (isOpen) lostAt = refusals = 0;
    else lostAt ||= Date.now();
    show(state);
    // One refusal may come from a daemon that was just about to listen.
    if (state.state === "waiting" && (await isRefused(state.error)) && !isOpen && ++refusals > 1) {
      forget();
      client?.close();
    }
  };
  try {
    client = await connect(secret, follow);
  } catch {
    forget();
    return render(<NoSessionPage reason="none" />, root);
  }
  show({ state: "open" });
}

void start();
