/** The first page: every bundle with its identities. */
import type { Account, Bundle, Quota } from "@srvd/client";
import { useMemo, useState } from "preact/hooks";

import { Confirm, Empty, Failure, kindOf, Mark } from "./parts.js";
import { go, useAction, useClient, useNow, useQuery } from "./state.js";
import { ago, text, until } from "./strings.js";

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
  const quotas = useQuery("quota.list", {}, ["accountquota:changed:*", "identityaccounts:changed:*"]);
  const now = useNow(30_000);
  const [filter, setFilter] = useState("");
  const byId = useMemo(() => new Map(accounts.data?.accounts.map((account) => [account.id, account])), [accounts.data]);
  const limits = useMemo(() => new Map(quotas.data?.quotas.map((quota) => [quota.accountId, quota])), [quotas.data]);
  const corrupt = accounts.data?.corrupt.length ?? 0;
  const shown = ((accounts.data && bundles.data?.bundles) ?? [])
    .filter((bundle) => !bundle.isBlank)
    .map((bundle) => ({
      bundle,
      accounts: bundle.bindings.flatMap(({ accountId }) => byId.get(accountId) ?? []).filter((account) => matches(filter, bundle.name, account)),
    }))
    .filter(({ bundle, accounts }) => accounts.length > 0 || !filter || bundle.name.toLowerCase().includes(filter.toLowerCase()));
  const loose = [...byId.values()].filter((account) => account.owner === "bundle" && account.boundTo.length === 0 && matches(filter, "", account));
  const row = (account: Account, bundleId?: string) => (
    <AccountRow key={account.id} account={account} quota={limits.get(account.id)} bundleId={bundleId} now={now} />
  );
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
      {shown.length + loose.length > 0 && (
        <table class="identities" aria-label={text.pages.identities}>
          <thead>
            <tr>
              <th class="provider">{words.provider}</th>
              <th>{words.person}</th>
              <th class="status">{words.status}</th>
              <th class="limits">{words.limits}</th>
              <th class="checked">{words.checked}</th>
              <th class="actions"><span class="hidden">{words.actions}</span></th>
            </tr>
          </thead>
          {shown.map(({ bundle, accounts }) => (
            <tbody key={bundle.id} aria-label={bundle.name}>
              <BundleRow bundle={bundle} />
              {accounts.map((account) => row(account, bundle.id))}
              {accounts.length === 0 && <tr><td class="empty" colSpan={6}>{words.empty}</td></tr>}
            </tbody>
          ))}
          {loose.length > 0 && (
            <tbody aria-label={words.unbound}>
              <tr class="bundle"><th colSpan={6} scope="rowgroup"><h2>{words.unbound}</h2></th></tr>
              {loose.map((account) => row(account))}
            </tbody>
          )}
        </table>
      )}
      {bundles.data && accounts.data && shown.length + loose.length === 0 && <Empty>{filter ? words.noneMatch : words.noBundles}</Empty>}
    </>
  );
}

function BundleRow({ bundle: { id, name } }: { bundle: Bundle }) {
  return (
    <tr class="bundle">
      <th colSpan={6} scope="rowgroup">
        <div class="row">
          <h2>{name}</h2>
          <a href={`#/launch/${id}`} aria-label={`${words.launch} ${name}`}>{words.launch}</a>
          <a href={`#/bundle/${id}`} aria-label={`${words.settings} ${name}`}>{words.settings}</a>
          <a href={`#/login?bundle=${id}`} aria-label={`${words.logIn} ${name}`}>{words.logIn}</a>
        </div>
      </th>
    </tr>
  );
}

/** The windows of a limit, each with the share that is used. */
function Limits({ quota, now }: { quota: Quota | undefined; now: number }) {
  const known = quota?.windows.filter(({ usedPercent }) => typeof usedPercent === "number") ?? [];
  if (!quota || known.length === 0) return <span class="dim">{text.none}</span>;
  return (
    <>
      {known.map(({ key, usedPercent, resetsAt }) => (
        <div key={key} class={`limit ${quota.state}`} title={resetsAt ? words.resets(until(resetsAt, now)) : undefined}>
          <span class="gauge" aria-hidden="true"><span style={{ width: `${Math.min(100, usedPercent ?? 0)}%` }} /></span>
          {words.limit(key, `${usedPercent}%`)}
        </div>
      ))}
    </>
  );
}

/** The dialog of the next step of an account, if a dialog can take it. */
function nextStep(account: Account, status: string): "login" | "key" | undefined {
  const isKey = account.kind === "api_key";
  switch (account.nextStep?.action) {
    case "login":
    case "login_force":
      return "login";
    case "add_key":
      return "key";
    case undefined:
      return status === "expiring" ? (isKey ? "key" : "login") : undefined;
    default:
      return undefined;
  }
}

interface AccountProps {
  account: Account;
  quota: Quota | undefined;
  bundleId: string | undefined;
  now: number;
}

function AccountRow({ account, quota, bundleId, now }: AccountProps) {
  const client = useClient();
  const [asking, setAsking] = useState(false);
  const check = useAction(() => client.call("account.refreshstatus", { accountId: account.id }));
  const forget = useAction(() => client.call("account.delete", { accountId: account.id }));
  const status = statusOf(account, now);
  const who = person(account);
  const target = `provider=${encodeURIComponent(account.providerId)}${bundleId ? `&bundle=${bundleId}` : ""}`;
  const step = nextStep(account, status);
  const stepName = step === "key" ? words.replaceKey : words.renew;
  return (
    <tr>
      <td class="provider">{account.providerId}</td>
      <td class="person">
        {who}
        {account.maskedTail && <code class="dim"> …{account.maskedTail}</code>}
      </td>
      <td class="status">
        <Mark status={status} />
        {account.statusReason && status !== "valid" && <span class={`reason ${kindOf(status)}`}>{account.statusReason}</span>}
        {account.nextStep?.action === "manual" && <code class="command">{account.nextStep.command}</code>}
        <Failure error={check.error ?? forget.error} />
      </td>
      <td class="limits"><Limits quota={quota} now={now} /></td>
      <td class="checked">{account.checkedAt ? <time dateTime={new Date(account.checkedAt).toISOString()}>{ago(account.checkedAt, now)}</time> : text.none}</td>
      <td class="actions">
        {step && <a class="button primary" href={`#/${step}?${target}`} aria-label={`${stepName} ${who}`}>{stepName}</a>}
        <button type="button" class="quiet" aria-disabled={check.busy} onClick={() => check.run()} aria-label={`${words.check} ${who}`}>{words.check}</button>
        <button type="button" class="quiet danger" aria-disabled={forget.busy} onClick={() => setAsking(true)} aria-label={`${words.forget} ${who}`}>{words.forget}</button>
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
