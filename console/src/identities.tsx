/** The first page: every bundle with its identities. */
import type { Account, Bundle } from "@srvd/client";
import { useMemo, useState } from "preact/hooks";

import { Confirm, Empty, Failure, Mark } from "./parts.js";
import { go, useAction, useClient, useNow, useQuery } from "./state.js";
import { ago, text } from "./strings.js";

const words = text.identities;

/** The name by which a user tells an account from another one of the same provider. */
export const person = (account: Account): string =>
  account.email ?? account.displayName ?? account.name ?? account.subject ?? account.id;

/** The status with what the times say about it. */
export function statusOf(account: Account, now: number): string {
  const { status, expiresAt } = account;
  if (status === "expired") return account.nextStep ? "needs_reauth" : "refreshable";
  const soon = account.loginDeadlineAt ?? (account.kind === "api_key" ? expiresAt : undefined);
  return status === "valid" && soon && soon - now < 3 * 86_400_000 ? "expiring" : status;
}

/** Returns whether an account matches all words of the filter. */
export function matches(filter: string, bundle: string, account: Account): boolean {
  const all = [bundle, account.providerId, account.email, account.name, account.displayName, account.status].join(" ").toLowerCase();
  return filter.toLowerCase().split(/\s+/).every((word) => all.includes(word));
}

export function Identities() {
  const accounts = useQuery("account.list", {}, ["identityaccounts:changed:*"]);
  const bundles = useQuery("bundle.list", {}, ["identitybundles:changed", "identitybundlebindings:changed:*"]);
  const [filter, setFilter] = useState("");
  const byId = useMemo(() => new Map(accounts.data?.accounts.map((account) => [account.id, account])), [accounts.data]);
  const corrupt = accounts.data?.corrupt.length ?? 0;
  const shown = (bundles.data?.bundles ?? [])
    .filter((bundle) => !bundle.isBlank)
    .map((bundle) => ({
      bundle,
      accounts: bundle.bindings.flatMap(({ accountId }) => byId.get(accountId) ?? []).filter((account) => matches(filter, bundle.name, account)),
    }))
    .filter(({ bundle, accounts }) => accounts.length > 0 || !filter || bundle.name.toLowerCase().includes(filter.toLowerCase()));
  const loose = [...byId.values()].filter((account) => account.owner === "bundle" && account.boundTo.length === 0 && matches(filter, "", account));
  return (
    <>
      <div class="row bar">
        <input type="search" aria-label={words.filter} placeholder={words.filter} value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />
        <a class="button primary" href="#/login">{words.logIn}</a>
        <a class="button" href="#/key">{words.addKey}</a>
        <a class="button" href="#/new">{words.newBundle}</a>
      </div>
      <Failure error={accounts.error ?? bundles.error} />
      {corrupt > 0 && <p class="failure">{words.corrupt(corrupt)} <a href="#/doctor">{text.pages.doctor}</a></p>}
      <Running />
      {shown.map(({ bundle, accounts }) => <BundleTable key={bundle.id} bundle={bundle} accounts={accounts} />)}
      {loose.length > 0 && (
        <section>
          <h2>{words.unbound}</h2>
          <AccountTable accounts={loose} label={words.unbound} />
        </section>
      )}
      {bundles.data && accounts.data && shown.length + loose.length === 0 && <Empty>{filter ? words.noneMatch : words.noBundles}</Empty>}
    </>
  );
}

function BundleTable({ bundle, accounts }: { bundle: Bundle; accounts: Account[] }) {
  return (
    <section>
      <div class="row">
        <h2>{bundle.name}</h2>
        <a href={`#/launch/${bundle.id}`} aria-label={`${words.launch} ${bundle.name}`}>{words.launch}</a>
        <a href={`#/bundle/${bundle.id}`} aria-label={`${words.settings} ${bundle.name}`}>{words.settings}</a>
        <a href={`#/login?bundle=${bundle.id}`} aria-label={`${words.logIn} ${bundle.name}`}>{words.logIn}</a>
      </div>
      {accounts.length > 0 ? <AccountTable accounts={accounts} label={bundle.name} bundleId={bundle.id} /> : <Empty>{words.empty}</Empty>}
    </section>
  );
}

function AccountTable({ accounts, label, bundleId }: { accounts: Account[]; label: string; bundleId?: string }) {
  return (
    <table aria-label={label}>
      <thead>
        <tr>
          <th>{words.provider}</th>
          <th>{words.person}</th>
          <th>{words.status}</th>
          <th class="wide">{words.checked}</th>
          <th><span class="hidden">{words.actions}</span></th>
        </tr>
      </thead>
      <tbody>{accounts.map((account) => <AccountRow key={account.id} account={account} bundleId={bundleId} />)}</tbody>
    </table>
  );
}

function AccountRow({ account, bundleId }: { account: Account; bundleId: string | undefined }) {
  const client = useClient();
  const now = useNow(30_000);
  const [asking, setAsking] = useState(false);
  const check = useAction(() => client.call("account.refreshstatus", { accountId: account.id }));
  const forget = useAction(() => client.call("account.delete", { accountId: account.id }));
  const status = statusOf(account, now);
  const who = person(account);
  const target = `provider=${encodeURIComponent(account.providerId)}${bundleId ? `&bundle=${bundleId}` : ""}`;
  const isKey = account.kind === "api_key";
  return (
    <tr>
      <td>{account.providerId}</td>
      <td>
        {who}
        {account.maskedTail && <code> …{account.maskedTail}</code>}
      </td>
      <td>
        <Mark status={status} />
        {account.statusReason && status !== "valid" && <span class="reason">{account.statusReason}</span>}
        <Failure error={check.error ?? forget.error} />
      </td>
      <td class="wide">{account.checkedAt ? <time dateTime={new Date(account.checkedAt).toISOString()}>{ago(account.checkedAt, now)}</time> : text.none}</td>
      <td class="row end">
        {status !== "valid" && status !== "refreshable" && (
          <a class="button primary" href={`#/${isKey ? "key" : "login"}?${target}`} aria-label={`${isKey ? words.replaceKey : words.renew} ${who}`}>
            {isKey ? words.replaceKey : words.renew}
          </a>
        )}
        <button type="button" disabled={check.busy} onClick={() => check.run()} aria-label={`${words.check} ${who}`}>{words.check}</button>
        <button type="button" class="danger" disabled={forget.busy} onClick={() => setAsking(true)} aria-label={`${words.forget} ${who}`}>{words.forget}</button>
        {asking && <Confirm question={text.confirm.forget(who)} no={() => setAsking(false)} yes={() => (setAsking(false), forget.run())} />}
      </td>
    </tr>
  );
}

/** The logins that are running, also those of other clients. */
function Running() {
  const { data } = useQuery("auth.list", {}, ["authsession:changed:*"]);
  const running = data?.sessions.filter(({ status }) => status !== "success" && status !== "failed") ?? [];
  if (running.length === 0) return null;
  return (
    <section>
      <h2>{words.running}</h2>
      <ul class="plain">
        {running.map((session) => (
          <li key={session.sessionId} class="row">
            <span>{session.providerId}</span>
            <button type="button" onClick={() => go(`/login/${session.sessionId}`)} aria-label={`${words.show} ${session.providerId}`}>{words.show}</button>
          </li>
        ))}
      </ul>
    </section>
  );
}
