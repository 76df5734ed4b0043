/** The audit log, newest first. */
import { useState } from "preact/hooks";

import { Copy, Empty, Failure, Field } from "./parts.js";
import { useAction, useClient, useQuery } from "./state.js";
import { clock, text } from "./strings.js";

const words = text.audit;
const PAGE = 50;

export function Audit() {
  const [action, setAction] = useState("");
  const [subject, setSubject] = useState("");
  return (
    <>
      <div class="row bar">
        <Field label={words.filterAction}>
          <input type="search" spellcheck={false} value={action} onInput={(event) => setAction(event.currentTarget.value)} />
        </Field>
        <Field label={words.filterSubject}>
          <input type="search" spellcheck={false} value={subject} onInput={(event) => setSubject(event.currentTarget.value)} />
        </Field>
      </div>
      <Entries key={`${action}\n${subject}`} action={action} subject={subject} />
      <p class="row dim">{words.verify} <code>{words.verifyCommand}</code> <Copy value={words.verifyCommand} label={text.launch.copy} of={words.verifyCommand} /></p>
    </>
  );
}

function Entries({ action, subject }: { action: string; subject: string }) {
  const client = useClient();
  const filter = { limit: PAGE, ...(action && { action }), ...(subject && { subject }) };
  const first = useQuery("audit.list", filter);
  const [older, setOlder] = useState<{ rows: NonNullable<typeof first.data>["rows"]; cursor: string | undefined }>();
  const cursor = older ? older.cursor : (first.data?.nextCursor ?? undefined);
  const more = useAction(async () => {
    const page = await client.call("audit.list", { ...filter, ...(cursor && { cursor }) });
    setOlder((before) => ({ rows: [...(before?.rows ?? []), ...page.rows], cursor: page.nextCursor ?? undefined }));
  });
  const entries = [...(first.data?.rows ?? []), ...(older?.rows ?? [])];
  return (
    <>
      <Failure error={first.error ?? more.error} />
      {first.data && entries.length === 0 && <Empty>{action || subject ? words.noneMatch : words.none}</Empty>}
      {entries.length > 0 && (
        <table class="audit" aria-label={text.pages.audit}>
          <thead>
            <tr>
              <th class="time">{words.time}</th>
              <th>{words.action}</th>
              <th class="subject">{words.subject}</th>
              <th class="actor">{words.actor}</th>
              <th class="outcome">{words.outcome}</th>
            </tr>
          </thead>
          <tbody>
            {entries.map((entry) => (
              <tr key={entry.seq}>
                <td class="time"><time dateTime={new Date(entry.at).toISOString()}>{clock(entry.at)}</time></td>
                <td>{entry.action}</td>
                <td class="subject">{entry.subject || text.none}</td>
                <td class="actor">{entry.actor}</td>
                <td class={`outcome ${entry.outcome === "ok" ? "dim" : "failure"}`}>{entry.outcome}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {cursor && <div class="row bar"><button type="button" aria-disabled={more.busy} onClick={() => more.run()}>{words.more}</button></div>}
    </>
  );
}
