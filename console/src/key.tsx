/** Adding an API key. It is sent once and never read back. */
import { useState } from "preact/hooks";

import { Check, Dialog, Failure, Field } from "./parts.js";
import { type Route, useAction, useClient, useQuery } from "./state.js";
import { text } from "./strings.js";

const words = text.key;

export function KeyDialog({ route, close }: { route: Route; close: () => void }) {
  const client = useClient();
  const providers = useQuery("provider.list", {});
  const bundles = useQuery("bundle.list", {}, ["identitybundles:changed"]);
  const [providerId, setProvider] = useState(route.query.get("provider") ?? "");
  const [bundleId, setBundle] = useState(route.query.get("bundle") ?? "");
  const [bundleName, setName] = useState("");
  const [accountName, setAccountName] = useState("");
  const [apiKey, setKey] = useState("");
  const [validate, setValidate] = useState(true);
  const save = useAction(async () =>
    client.call("auth.submitapikey", {
      providerId,
      apiKey,
      accountName: accountName || words.defaultName,
      validate,
      ...(bundleId ? { intoBundleId: bundleId } : bundleName && { bundleName }),
    }),
  );
  const keyed = providers.data?.providers.filter(({ loginKinds }) => loginKinds.includes("api_key")) ?? [];
  const submit = async (event: Event) => {
    event.preventDefault();
    if (await save.run()) close();
  };
  return (
    <Dialog title={words.title} close={close}>
      <form onSubmit={submit}>
        <Field label={text.login.provider}>
          <select required value={providerId} onChange={(event) => setProvider(event.currentTarget.value)}>
            <option value="" />
            {keyed.map(({ id, displayName }) => <option key={id} value={id}>{displayName}</option>)}
          </select>
        </Field>
        <Field label={words.key}>
          <input required type="password" autocomplete="off" value={apiKey} onInput={(event) => setKey(event.currentTarget.value)} />
        </Field>
        <Field label={words.name}>
          <input maxLength={64} placeholder={words.defaultName} value={accountName} onInput={(event) => setAccountName(event.currentTarget.value)} />
        </Field>
        <Field label={text.login.bundle}>
          <select value={bundleId} onChange={(event) => setBundle(event.currentTarget.value)}>
            <option value="">{text.login.newBundle}</option>
            {bundles.data?.bundles.filter(({ isBlank }) => !isBlank).map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
          </select>
        </Field>
        {!bundleId && (
          <Field label={text.login.bundleName}>
            <input value={bundleName} maxLength={64} onInput={(event) => setName(event.currentTarget.value)} />
          </Field>
        )}
        <Check label={words.validate} checked={validate} change={setValidate} />
        <Failure error={save.error ?? providers.error} />
        <div class="row end"><button class="primary" aria-disabled={save.busy}>{words.save}</button></div>
      </form>
    </Dialog>
  );
}
