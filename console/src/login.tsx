/** The login dialog: the start, and a running login, whose id is in the route so that it survives a reload. */
import type { Provider, Session } from "@srvd/client";
import { useEffect, useState } from "preact/hooks";

import { Check, Copy, Dialog, Failure, Field } from "./parts.js";
import { Qr } from "./qr.js";
import { go, type Route, useAction, useClient, useNow, useQuery } from "./state.js";
import { countdown, text } from "./strings.js";

const words = text.login;
const POLL_MS = 30_000;

export function LoginDialog({ route, close }: { route: Route; close: () => void }) {
  const sessionId = route.path[1];
  return (
    <Dialog title={words.title} close={close}>
      {sessionId ? <Progress sessionId={sessionId} close={close} /> : <Start query={route.query} />}
    </Dialog>
  );
}

/** The providers that have a CLI to log in with. */
export const withLogin = (providers: Provider[]): Provider[] =>
  providers.filter(({ logins, loginKinds }) => (logins?.length ?? loginKinds.length) > 0 && loginKinds.some((kind) => kind !== "api_key"));

function Start({ query }: { query: URLSearchParams }) {
  const client = useClient();
  const providers = useQuery("provider.list", {});
  const bundles = useQuery("bundle.list", {}, ["identitybundles:changed"]);
  const [providerId, setProvider] = useState(query.get("provider") ?? "");
  const [recipe, setRecipe] = useState("");
  const [bundleId, setBundle] = useState(query.get("bundle") ?? "");
  const [bundleName, setName] = useState("");
  const [force, setForce] = useState(false);
  const all = withLogin(providers.data?.providers ?? []);
  const chosen = all.find(({ id }) => id === providerId);
  const start = useAction(async () => {
    const { sessionId } = await client.call("auth.start", {
      providerId,
      ...(recipe && { recipe }),
      ...(bundleId ? { intoBundleId: bundleId } : bundleName && { bundleName }),
      ...(force && { force }),
    });
    go(`/login/${sessionId}`);
  });
  return (
    <form onSubmit={(event) => (event.preventDefault(), start.run())}>
      <Field label={words.provider}>
        <select required value={providerId} onChange={(event) => (setProvider(event.currentTarget.value), setRecipe(""))}>
          <option value="" />
          {all.map(({ id, displayName, cli }) => <option key={id} value={id}>{cli.found ? displayName : words.notInstalled(displayName)}</option>)}
        </select>
      </Field>
      {chosen && !chosen.cli.found && <p class="failure">{chosen.cli.install}</p>}
      {chosen?.logins && chosen.logins.length > 1 && (
        <Field label={words.way}>
          <select value={recipe} onChange={(event) => setRecipe(event.currentTarget.value)}>
            {chosen.logins.map(({ id }, index) => <option key={id} value={index ? id : ""}>{id}</option>)}
          </select>
        </Field>
      )}
      <Field label={words.bundle}>
        <select value={bundleId} onChange={(event) => setBundle(event.currentTarget.value)}>
          <option value="">{words.newBundle}</option>
          {bundles.data?.bundles.filter(({ isBlank }) => !isBlank).map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
        </select>
      </Field>
      {!bundleId && (
        <Field label={words.bundleName}>
          <input value={bundleName} maxLength={64} onInput={(event) => setName(event.currentTarget.value)} />
        </Field>
      )}
      {bundleId && <Check label={words.replace} checked={force} change={setForce} />}
      <Failure error={start.error ?? providers.error} />
      <div class="row end">
        <button class="primary" aria-disabled={start.busy}>{words.start}</button>
      </div>
    </form>
  );
}

/** The state of a login, which is polled for changes until it ends. */
function useSession(sessionId: string): { session: Session | undefined; error: Error | undefined } {
  const client = useClient();
  const [state, setState] = useState<{ session?: Session; error?: Error }>({});
  useEffect(() => {
    const ended = new AbortController();
    (async () => {
      for (let afterRevision = 0; !ended.signal.aborted; ) {
        try {
          const session = await client.call("auth.poll", { sessionId, afterRevision, waitMs: POLL_MS }, { signal: ended.signal, timeoutMs: 2 * POLL_MS });
          afterRevision = session.revision;
          setState({ session });
          if (session.status === "success" || session.status === "failed") return;
        } catch (error) {
          if (ended.signal.aborted) return;
          // A lost connection is restored; every other failure is final.
          if ((error as { kind?: string }).kind !== "lost") return setState(({ session }) => ({ ...(session && { session }), error: error as Error }));
        }
      }
    })();
    return () => ended.abort();
  }, [client, sessionId]);
  return { session: state.session, error: state.error };
}

function Progress({ sessionId, close }: { sessionId: string; close: () => void }) {
  const client = useClient();
  const now = useNow();
  const { session, error } = useSession(sessionId);
  const [answer, setAnswer] = useState("");
  const send = useAction(() => client.call("auth.submitcallback", { sessionId, callbackUrl: answer }));
  const cancel = useAction(() => client.call("auth.cancel", { sessionId }));
  if (!session) return error ? <Failure error={error} /> : <p role="status">{words.starting}</p>;
  const url = session.verificationUrl ?? session.authUrl;
  if (session.status === "success") {
    return (
      <>
        <p role="status" class="success">{words.success(session.email ?? words.someone)}</p>
        <div class="row end"><button type="button" class="primary" onClick={close}>{words.done}</button></div>
      </>
    );
  }
  if (session.status === "failed") {
    return (
      <>
        <p role="alert" class="failure">{session.error ?? words.failed}{session.hint && <span class="hint"> {session.hint}</span>}</p>
        <div class="row end"><a class="button primary" href={`#/login?provider=${session.providerId}`}>{words.again}</a></div>
      </>
    );
  }
  return (
    <>
      {!url && !session.deviceCode && <p role="status">{words.starting}</p>}
      {session.deviceCode && (
        <p role="status">
          {words.code}
          <output class="code">{session.deviceCode}</output>
          <Copy value={session.deviceCode} label={words.copyCode} />
        </p>
      )}
      {url && (
        <>
          <div class="row">
            {session.openable !== false && <a class="button primary" href={url} target="_blank" rel="noreferrer">{words.open}</a>}
            <Copy value={url} label={words.copy} />
          </div>
          <p class="url">{url}</p>
          {session.deviceCode && <Qr value={url} label={words.qr} />}
        </>
      )}
      {session.prompt && (
        <form class="row" onSubmit={(event) => (event.preventDefault(), send.run().then((sent) => sent && setAnswer("")))}>
          <Field label={words.paste} help={words.pasteHelp}>
            <input required autocomplete="off" spellcheck={false} value={answer} onInput={(event) => setAnswer(event.currentTarget.value)} />
          </Field>
          <button class="primary" aria-disabled={send.busy}>{words.send}</button>
        </form>
      )}
      <Failure error={error ?? send.error ?? cancel.error} />
      <div class="row end">
        <span class="dim">{words.left(countdown(Math.max(0, session.expiresAt - now)))}</span>
        <button type="button" aria-disabled={cancel.busy} onClick={() => cancel.run()}>{words.cancel}</button>
      </div>
    </>
  );
}
