/** The checkup: problems and the commands that mend them. */
import { Copy, Empty, Failure } from "./parts.js";
import { useQuery } from "./state.js";
import { text } from "./strings.js";

const words = text.doctor;

/** The command within a fix, which may also be a sentence that ends with a command, or has none. */
const COMMAND = /(?:^|: )((?:srvd|chmod|chown|kill|rm|mv|cp|apt-get|npm|systemctl|ssh) .+)$/;

function Fix({ fix }: { fix: string }) {
  const found = COMMAND.exec(fix);
  if (!found?.[1]) return <div>{fix}</div>;
  return (
    <>
      {found.index > 0 && <div>{fix.slice(0, found.index)}:</div>}
      <div class="row"><code class="command">{found[1]}</code><Copy value={found[1]} label={text.launch.copy} of={found[1]} /></div>
    </>
  );
}

export function Doctor() {
  const { data, error, refresh } = useQuery("doctor.run", {});
  const problems = data?.findings.filter(({ severity }) => severity !== "ok") ?? [];
  return (
    <>
      <div class="row bar"><button type="button" onClick={refresh}>{words.run}</button></div>
      <Failure error={error} />
      {!data && !error && <p role="status">{text.connection.reading}</p>}
      {data && problems.length === 0 && <Empty>{words.fine}</Empty>}
      <ul class="plain findings">
        {problems.map((finding) => (
          <li key={finding.id} class={finding.severity}>
            <strong>{words.severity[finding.severity] ?? finding.severity}</strong> {finding.title}{finding.detail && `: ${finding.detail}`}
            {finding.meaning && <span class="dim"> {finding.meaning}</span>}
            {finding.fix && <Fix fix={finding.fix} />}
          </li>
        ))}
      </ul>
    </>
  );
}
