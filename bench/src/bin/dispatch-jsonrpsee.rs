//! Dispatches a small request a given number of times, in process and without a socket, and prints the processor time
//! in nanoseconds. It is the peer of the daemon's example `dispatch`.

use std::io::Write as _;

use anyhow::{Context as _, Result, ensure};
use jsonrpsee::server::RpcModule;
use serde::{Deserialize, Serialize};

const REQUEST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"echo","params":{"text":"a text of sixty-four bytes, which is about what people send here"}}"#;

#[derive(Deserialize, Serialize, Clone)]
struct Echo {
    text: String,
}

fn main() -> Result<()> {
    let count: usize = std::env::args().nth(1).context("usage: dispatch-jsonrpsee COUNT")?.parse()?;
    let mut module = RpcModule::new(());
    module.register_method("echo", |params, (), _| params.parse::<Echo>())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let before = processor_time()?;
    runtime.block_on(async {
        for _ in 0..count {
            let (reply, _) = module.raw_json_request(REQUEST, 1).await?;
            ensure!(reply.get().len() > 100, "it was refused");
        }
        anyhow::Ok(())
    })?;
    writeln!(std::io::stdout(), "{}", processor_time()? - before)?;
    Ok(())
}

/// Returns the processor time of this thread in nanoseconds. (The C library's call for it ends a program under
/// callgrind.)
fn processor_time() -> Result<i64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().unwrap_or_default().parse()?)
}
