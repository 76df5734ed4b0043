/** The audit log, newest first. */
import { useState } from "preact/hooks";

import { Empty, Failure } from "./parts.js";
import { useClient, useQuery, useAction } from "./state.js";
import { clock, text } from "./strings.js";

const words = text.audit;
const PAGE = 50;

export function Audit() {
  const client = useClient();
  const first = useQuery("audit.list", { limit: PAGE });
  const [older, setOlder] = useState<{ rows: NonNullable<typeof first.data>["rows"]; cursor: string | undefined }>();
  const cursor = older ? older.cursor : (first.data?.nextCursor ?? undefined);
  const more = useAction(async () => {
    const page = await client.call("audit.list", { limit: PAGE, ...(cursor && { cursor }) });
    setOlder((before) => ({ rows: [...(before?.rows ?? []), ...page.rows], cursor: page.nextCursor ?? undefined }));
  });
  const entries = [...(first.data?.rows ?? []), ...(older?.rows ?? [])];
  return (
    <>
      <Failure error={first.error ?? more.error} />
      {first.data && entries.length === 0 && <Empty>{words.none}</Empty>}
      {entries.length > 0 && (
        <table aria-label={text.pages.audit}>
          <thead>
            <tr>
              <th>{words.time}</th>
              <th>{words.action}</th>
              <th>{words.subject}</th>
              <th class="wide">{words.actor}</th>
              <th>{words.outcome}</th>
            </tr>
          </thead>
          <tbody>
            {entries.map((entry) => (
              <tr key={entry.seq}>
                <td><time dateTime={new Date(entry.at).toISOString()}>{clock(entry.at)}</time></td>
                <td>{entry.action}</td>
                <td>{entry.subject ?? text.none}</td>
                <td class="wide">{entry.actor}</td>
                <td>{entry.outcome}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {cursor && <button type="button" disabled={more.busy} onClick={() => more.run()}>{words.more}</button>}
    </>
  );
}
