//! Dispatches a small request many times, in process and without a socket, and prints the processor time in
//! nanoseconds.
//! The router and the log are those of the daemon. `scripts/bench.sh` runs it beside its peer.

use std::future::Future as _;
use std::io::Write as _;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use anyhow::{Context as _, Result, ensure};
use rpc_engine::{Broker, BrokerConfig, Call, Engine, Limits, Router, RpcError};
use srvd::base::environment::Environment;
use srvd::base::redact::Redactor;
use srvd::config::{Config, Flags};
use srvd::wire::daemon::{Ping, Pong};
use srvd::wire::events;

const REQUEST: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"srvd.ping","params":{"text":"a text of sixty-four bytes, which is about what people send here"}}"#;

#[derive(Clone)]
struct Nothing;

async fn ping(_: Nothing, _: Call, Ping { text }: Ping) -> Result<Pong, RpcError> {
    Ok(Pong { text })
}

fn main() -> Result<()> {
    let count: usize = std::env::args().nth(1).context("usage: dispatch COUNT")?.parse()?;
    let config = Config::load(&Environment::of([("HOME", "/".to_owned())]), &Flags::default())?;
    srvd::daemon::logging::start(&config, &Redactor::default())?;
    let service = Router::new().on(ping).build(&Nothing, srvd::rpc::routes::info(), Limits::default());
    let broker = Broker::new(BrokerConfig { epoch: "1".to_owned(), keep: 16, methods: events::METHODS });
    let engine = Engine::new(service, broker);
    let before = processor_time()?;
    for _ in 0..count {
        let mut reply = pin!(engine.post(REQUEST));
        let Poll::Ready(Some(reply)) = reply.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            anyhow::bail!("it was not answered at once");
        };
        ensure!(reply.len() > 100, "it was refused");
    }
    writeln!(std::io::stdout(), "{}", processor_time()? - before)?;
    Ok(())
}

/// Returns the processor time of this thread in nanoseconds. The C library's call for this ends a program that runs
/// under callgrind.
fn processor_time() -> Result<i64> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(stat.split(' ').next().unwrap_or_default().parse()?)
}
