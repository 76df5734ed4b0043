/** The tokens of paired clients, and the browser sessions of the console. */
import { useState } from "preact/hooks";

import { Confirm, Empty, Failure } from "./parts.js";
import { useAction, useClient, useNow, useQuery } from "./state.js";
import { ago, text } from "./strings.js";

const words = text.access;

export function Access() {
  const client = useClient();
  const now = useNow(30_000);
  const tokens = useQuery("tokens.list", {});
  const sessions = useQuery("console.sessions", {});
  const [asking, setAsking] = useState<{ id: string; name: string }>();
  const revoke = useAction(async (tokenId: string) => {
    await client.call("tokens.revoke", { tokenId });
    tokens.refresh();
  });
  const end = useAction(async (sessionId: string) => {
    await client.call("console.end", { sessionId });
    sessions.refresh();
  });
  const time = (at?: number | null) => (at ? ago(at, now) : text.none);
  return (
    <>
      <Failure error={tokens.error ?? sessions.error ?? revoke.error ?? end.error} />
      <section>
        <h2>{words.tokens}</h2>
        {tokens.data?.tokens.length === 0 && <Empty>{words.noTokens}</Empty>}
        <ul class="plain">
          {tokens.data?.tokens.map((token) => (
            <li key={token.id} class="row">
              <span class="grow">{token.name} <span class="dim">{token.scopes.join(", ")}; {words.created} {time(token.createdAt)}</span></span>
              <button type="button" class="danger" aria-disabled={revoke.busy} onClick={() => setAsking(token)} aria-label={`${words.revoke} ${token.name}`}>{words.revoke}</button>
            </li>
          ))}
        </ul>
      </section>
      <section>
        <h2>{words.sessions}</h2>
        <ul class="plain">
          {sessions.data?.sessions.map((session) => (
            <li key={session.id} class="row">
              <span class="grow">{session.browser} <span class="dim">{words.created} {time(session.createdAt)}; {words.used} {time(session.usedAt)}</span> {session.current && <span class="mark good">✓ {words.here}</span>}</span>
              <button type="button" class="danger" aria-disabled={end.busy} onClick={() => end.run(session.id)} aria-label={`${words.end} ${session.browser}`}>{words.end}</button>
            </li>
          ))}
        </ul>
      </section>
      {asking && <Confirm question={text.confirm.revoke(asking.name)} no={() => setAsking(undefined)} yes={() => (setAsking(undefined), revoke.run(asking.id))} />}
    </>
  );
}
