// Checked by the compiler only: the types that a frontend relies on.
import { type Account, type Client, connect, isRpcError, type RpcError, type Session } from "@srvd/client";
import { connectLocal } from "@srvd/client/node";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const holds = <_ extends true>() => {};

export async function types(client: Client) {
  const { accounts } = await client.call("account.list");
  holds<Equal<typeof accounts, Account[]>>();
  const account = await client.call("account.get", { accountId: "account-1" }, { timeoutMs: 1000 });
  holds<Equal<typeof account, Account>>();
  // @ts-expect-error The account's id is required.
  await client.call("account.get");
  // @ts-expect-error There is no such method.
  await client.call("account.got", {});
  // @ts-expect-error There is no such parameter.
  await client.call("account.get", { accountId: "account-1", bundle: "x" });

  client.subscribe(["identityaccounts:changed:*"], ({ data }) => holds<Equal<typeof data.accountId, string>>());
  client.subscribe(["identitybundles:changed"], ({ data }) => holds<Equal<typeof data, undefined>>());

  for await (const session of client.login({ providerId: "codex" })) {
    holds<Equal<typeof session, Session>>();
    if (session.status === "success") return session.email;
  }

  try {
    await client.call("srvd.info");
  } catch (error) {
    if (isRpcError(error, "not_found")) holds<Equal<typeof error, RpcError<"not_found">>>();
    else if (isRpcError(error)) {
      switch (error.kind) {
        case "conflict":
          holds<Equal<typeof error, RpcError<"conflict">>>();
          break;
        // @ts-expect-error There is no such kind.
        case "konflict":
      }
    }
  }
}

export const ways: Array<() => Promise<Client>> = [
  () => connect({ url: "ws://127.0.0.1:7415/rpc", token: "srvd_x" }),
  () => connect({ url: "ws://127.0.0.1:7415/rpc", token: async () => "srvd_x", signal: AbortSignal.timeout(1000) }),
  () => connectLocal(),
];
