/** The operator's accounts at forges, and the sign-in. */
import { useState } from "preact/hooks";

import { Confirm, Copy, Empty, Failure } from "./parts.js";
import { useAction, useClient, useQuery } from "./state.js";
import { text } from "./strings.js";

const words = text.forges;
const POLL_MS = 30_000;

interface SigningIn {
  authUrl?: string | null;
  deviceCode?: string | null;
  verificationUrl?: string | null;
}

export function Forges() {
  const client = useClient();
  const { data, error, refresh } = useQuery("operator.list", {}, ["operatortokens:changed"]);
  const [waiting, setWaiting] = useState<SigningIn>();
  const [done, setDone] = useState("");
  const [asking, setAsking] = useState<{ accountId: string; accountLogin: string }>();
  const signIn = useAction(async (forge: { forgeType: string; baseUrl: string; clientId: string; flow: string }) => {
    setDone("");
    const { sessionId, ...started } = await client.call("operator.start", forge);
    setWaiting(started);
    try {
      for (;;) {
        const { status, accountLogin, error } = await client.call("operator.poll", { sessionId, waitMs: POLL_MS }, { timeoutMs: 2 * POLL_MS });
        if (status === "success") return setDone(words.signedIn(accountLogin ?? ""));
        if (status === "failed") throw new Error(error ?? "");
      }
    } finally {
      setWaiting(undefined);
      refresh();
    }
  });
  const activate = useAction((accountId: string) => client.call("operator.setactive", { accountId }));
  const remove = useAction((accountId: string) => client.call("operator.delete", { accountId }));
  if (!data) return <Failure error={error} />;
  const url = waiting?.verificationUrl ?? waiting?.authUrl;
  return (
    <>
      <Failure error={error ?? signIn.error ?? activate.error ?? remove.error} />
      {done && <p role="status" class="success">{done}</p>}
      <section>
        <h2>{words.configured}</h2>
        {data.forges.length === 0 && <Empty>{words.none}</Empty>}
        <ul class="plain">
          {data.forges.map((forge) => (
            <li key={forge.name} class="row">
              <span class="grow">{forge.name} <span class="dim">{forge.baseUrl}</span></span>
              {forge.flows.map((flow) => {
                const label = flow === "device" ? words.signInWithCode : words.signIn;
                const { forgeType, baseUrl, clientId } = forge;
                return (
                  <button key={flow} type="button" aria-disabled={signIn.busy} onClick={() => signIn.run({ forgeType, baseUrl, clientId, flow })} aria-label={`${label} ${forge.name}`}>
                    {label}
                  </button>
                );
              })}
            </li>
          ))}
        </ul>
        {waiting && (
          <div role="status">
            <p>{words.waiting}</p>
            {waiting.deviceCode && <p>{text.login.code} <output class="code">{waiting.deviceCode}</output> <Copy value={waiting.deviceCode} label={text.login.copyCode} /></p>}
            {url && <p class="row"><a class="button primary" href={url} target="_blank" rel="noreferrer">{text.login.open}</a><Copy value={url} label={text.login.copy} /></p>}
          </div>
        )}
      </section>
      <section>
        <h2>{words.accounts}</h2>
        {data.tokens.length === 0 && <Empty>{words.noAccounts}</Empty>}
        <ul class="plain">
          {data.tokens.map((account) => (
            <li key={account.accountId} class="row">
              <span class="grow">
                {account.accountLogin} <span class="dim">{account.baseUrl}</span> {account.active ? <span class="mark good">✓ {words.active}</span> : null}
                {account.state !== "active" && <span class="reason">{account.stateReason ?? account.state}</span>}
              </span>
              {!account.active && <button type="button" aria-disabled={activate.busy} onClick={() => activate.run(account.accountId)} aria-label={`${words.activate} ${account.accountLogin}`}>{words.activate}</button>}
              <button type="button" class="danger" aria-disabled={remove.busy} onClick={() => setAsking(account)} aria-label={`${words.remove} ${account.accountLogin}`}>{words.remove}</button>
            </li>
          ))}
        </ul>
      </section>
      {asking && (
        <Confirm question={text.confirm.removeForge(asking.accountLogin)} no={() => setAsking(undefined)} yes={() => (setAsking(undefined), setDone(""), remove.run(asking.accountId))} />
      )}
    </>
  );
}
