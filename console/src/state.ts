/** State that the pages share: the connection, the route, and queries that follow events. */
import type { Client, Methods } from "@srvd/client";
import { createContext } from "preact";
import { useCallback, useContext, useEffect, useRef, useState } from "preact/hooks";

export const ClientContext = createContext<Client>(undefined as unknown as Client);
export const useClient = (): Client => useContext(ClientContext);

export interface Query<T> {
  data: T | undefined;
  error: Error | undefined;
  refresh: () => void;
}

/** The result of a method. It is read again when an event of one of the topics arrives, or events were missed. */
export function useQuery<M extends keyof Methods & string>(
  method: M,
  params: Methods[M]["params"],
  topics: readonly string[] = [],
): Query<Methods[M]["result"]> {
  const client = useClient();
  const [state, setState] = useState<{ data?: Methods[M]["result"]; error?: Error }>({});
  const key = JSON.stringify(params);
  const running = useRef<{ again: boolean } | undefined>(undefined);
  const refresh = useCallback(() => {
    // One call at a time, so that a burst of events costs two.
    if (running.current) return void (running.current.again = true);
    const run = (running.current = { again: false });
    (client.call as (...args: unknown[]) => Promise<Methods[M]["result"]>)(method, JSON.parse(key))
      .then(
        (data) => setState({ data }),
        (error: Error) => setState(({ data }) => ({ data, error })),
      )
      .finally(() => {
        running.current = undefined;
        if (run.again) refresh();
      });
  }, [client, method, key]);
  useEffect(() => {
    refresh();
    if (topics.length === 0) return;
    const subscription = client.subscribe(topics, refresh, { onMissed: refresh });
    return () => subscription.close();
  }, [refresh, topics.join()]);
  return { data: state.data, error: state.error, refresh };
}

/**
 * A request that a button makes: its failure, and whether it is running, when a further press does nothing. The button must not be
 * disabled meanwhile, or it would lose the focus.
 */
export function useAction<A extends unknown[]>(
  act: (...args: A) => Promise<unknown>,
): { run: (...args: A) => Promise<boolean>; busy: boolean; error: Error | undefined } {
  const [state, setState] = useState<{ busy: boolean; error?: Error }>({ busy: false });
  const busy = useRef(false);
  const run = async (...args: A) => {
    if (busy.current) return false;
    busy.current = true;
    setState({ busy: true });
    try {
      const outcome = (await act(...args)) as { success?: boolean; error?: string | null } | undefined;
      if (outcome?.success === false) throw new Error(outcome.error ?? "");
      setState({ busy: false });
      return true;
    } catch (error) {
      setState({ busy: false, error: error as Error });
      return false;
    } finally {
      busy.current = false;
    }
  };
  return { run, busy: state.busy, error: state.error };
}

/** The route: the parts of the fragment's path, and its query. */
export interface Route {
  path: string[];
  query: URLSearchParams;
}

export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  return { path: path.split("/"), query: new URLSearchParams(query) };
}

export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => setHash(location.hash);
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return parseRoute(hash);
}

export const go = (route: string): void => void (location.hash = route);

/** The current time, which is read again every second. */
export function useNow(every = 1000): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
