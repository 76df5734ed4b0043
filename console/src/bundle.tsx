/** A bundle: its name, what it shares, and the providers that it does not bind. Also the creation of a bundle. */
import { useState } from "preact/hooks";

import { Check, Choices, Confirm, Copy, Dialog, Failure, Field, Mark } from "./parts.js";
import { go, type Route, useAction, useClient, useQuery } from "./state.js";
import { text } from "./strings.js";

const words = text.bundle;

export function NewBundle({ close }: { close: () => void }) {
  const client = useClient();
  const [name, setName] = useState("");
  const create = useAction(() => client.call("bundle.create", { name }));
  const submit = async (event: Event) => {
    event.preventDefault();
    if (await create.run()) close();
  };
  return (
    <Dialog title={text.identities.newBundle} close={close}>
      <form onSubmit={submit}>
        <Field label={words.name}>
          <input required maxLength={64} value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </Field>
        <Failure error={create.error} />
        <div class="row end"><button class="primary" aria-disabled={create.busy}>{words.create}</button></div>
      </form>
    </Dialog>
  );
}

export function BundleDialog({ route, close }: { route: Route; close: () => void }) {
  const client = useClient();
  const bundleId = route.path[1] ?? "";
  const bundle = useQuery("bundle.get", { bundleId }, ["identitybundles:changed"]);
  const share = useQuery("share.get", { bundleId }, ["identitybundles:changed"]);
  const [name, setName] = useState<string>();
  const [asking, setAsking] = useState(false);
  const rename = useAction(() => client.call("bundle.update", { bundleId, name: name ?? "" }));
  const rule = useAction((unbound: string) => client.call("bundle.update", { bundleId, unbound }));
  const sharing = useAction(async (choice: string, history: boolean) => {
    await client.call("share.set", { bundleId, share: choice, history });
    share.refresh();
  });
  const remove = useAction(() => client.call("bundle.delete", { bundleId }));
  const data = bundle.data;
  if (!data) return <Dialog title={words.title("")} close={close}><Failure error={bundle.error} /></Dialog>;
  const exceptions = [...data.unbound.own.map((id) => `${id}: ${words.own}`), ...data.unbound.sealed.map((id) => `${id}: ${words.sealed}`)];
  const policy = share.data?.share ?? "nothing";
  return (
    <Dialog title={words.title(data.name)} close={close}>
      <form class="row" onSubmit={(event) => (event.preventDefault(), rename.run())}>
        <Field label={words.name}>
          <input required maxLength={64} value={name ?? data.name} onInput={(event) => setName(event.currentTarget.value)} />
        </Field>
        <button disabled={name === undefined || name === data.name}>{words.rename}</button>
      </form>
      <Choices
        legend={words.share}
        value={policy}
        choices={policy in words.shareChoices ? words.shareChoices : { ...words.shareChoices, [policy]: policy }}
        change={(choice) => sharing.run(choice, share.data?.history ?? false)}
        disabled={!share.data}
      />
      <Check label={words.history} checked={share.data?.history ?? false} disabled={policy === "nothing"} change={(history) => sharing.run(policy, history)} />
      <Choices legend={words.unbound} value={data.unbound.rule} choices={words.unboundChoices} change={rule.run} />
      {exceptions.length > 0 && <p class="dim">{words.exceptions}: {exceptions.join(", ")}</p>}
      <Failure error={rename.error ?? rule.error ?? sharing.error ?? remove.error ?? share.error} />
      <div class="row end">
        <button type="button" class="danger" aria-disabled={remove.busy} onClick={() => setAsking(true)}>{words.delete}</button>
      </div>
      {asking && (
        <Confirm
          question={`${text.confirm.deleteBundle(data.name)} ${words.deleteHelp}`}
          no={() => setAsking(false)}
          yes={() => (setAsking(false), remove.run().then((done) => done && close()))}
        />
      )}
    </Dialog>
  );
}

/** Quotes a word for a shell. */
export const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

export function LaunchDialog({ route, close }: { route: Route; close: () => void }) {
  const bundleId = route.path[1] ?? "";
  const bundle = useQuery("bundle.get", { bundleId }, ["identitybundles:changed"]);
  const ready = useQuery("launch.ready", { bundleId }, [`identitybundlebindings:changed:${bundleId}`]);
  const providers = useQuery("provider.list", {});
  const name = bundle.data?.name ?? "";
  const binaries = new Map(providers.data?.providers.map(({ id, cli }) => [id, cli?.path?.split("/").at(-1)]));
  const lines = [
    { label: text.launch.shell, program: "", state: undefined },
    ...(ready.data?.providers ?? []).map((provider) => ({ label: provider.providerId, program: binaries.get(provider.providerId) ?? provider.providerId, state: provider })),
  ];
  return (
    <Dialog title={text.launch.title(name)} close={close}>
      <p>{text.launch.help}</p>
      <Failure error={bundle.error ?? ready.error} />
      <ul class="plain">
        {lines.map(({ label, program, state }) => {
          const command = `srvd exec --bundle ${quoted(name)} -- ${program || "$SHELL"}`;
          return (
            <li key={label} class="row">
              <span class="grow">
                <span>{label}</span> {state && <Mark status={state.ready ? "valid" : "needs_reauth"} />}
                <code class="command">{command}</code>
                {state?.reason && <span class="reason">{state.reason}</span>}
              </span>
              <Copy value={command} label={text.launch.copy} of={label} />
            </li>
          );
        })}
      </ul>
      <div class="row end"><button type="button" onClick={() => go("/")}>{text.login.done}</button></div>
    </Dialog>
  );
}
