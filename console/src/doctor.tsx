/** The checkup: problems and the commands that mend them. */
import { Copy, Empty, Failure } from "./parts.js";
import { useQuery } from "./state.js";
import { text } from "./strings.js";

const words = text.doctor;

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
            {finding.fix && <div class="row"><code class="command">{finding.fix}</code><Copy value={finding.fix} label={text.launch.copy} /></div>}
          </li>
        ))}
      </ul>
    </>
  );
}
