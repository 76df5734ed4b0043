//! Calls on one connection, one by one or with a fixed number in flight, and the events that are received between them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::servers::Address;
use crate::socket::{Socket, encode, id_of};

/// Longest time to wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// A connection that makes calls.
pub(crate) struct Caller(Socket);

/// The count and the duration of calls that were kept in flight for a while.
pub(crate) struct Driven {
    pub(crate) count: f64,
    pub(crate) seconds: f64,
}

impl Caller {
    pub(crate) async fn open(address: &Address) -> Result<Self> {
        Ok(Self(Socket::open(address).await?))
    }

    /// Sends a request and waits for its answer. Events received before it are skipped.
    pub(crate) async fn call(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.0.send(&encode(&request(0, method, params))).await?;
        let mut answer = None;
        while answer.is_none() {
            let see = |frame: &[u8]| {
                if !is_event(frame) {
                    answer = Some(serde_json::from_slice::<Value>(frame));
                }
            };
            within(self.0.receive(see)).await?;
        }
        let mut answer = answer.context("no answer")??;
        ensure!(answer.get("error").is_none(), "{method} was refused: {answer}");
        Ok(answer["result"].take())
    }

    /// Creates a bundle with this many API keys, and returns its id.
    pub(crate) async fn filled_bundle(&mut self, number: usize, keys: usize) -> Result<Value> {
        let made = self.call("bundle.create", &json!({"name": format!("bundle {number}")})).await?;
        let bundle = made.get("id").cloned().with_context(|| made.to_string())?;
        for key in 0..keys {
            let key = json!({
                "providerId": format!("bench-{key}"),
                "intoBundleId": bundle,
                "apiKey": "a-key-of-the-benchmark-0123456789",
                "accountName": "bench",
                "validate": false,
            });
            self.call("auth.submitapikey", &key).await?;
        }
        Ok(bundle)
    }

    /// Waits until this many events have been received. Fails if there are more.
    pub(crate) async fn events(&mut self, count: usize) -> Result<()> {
        let mut seen = 0;
        while seen < count {
            within(self.0.receive(|frame| seen += usize::from(is_event(frame)))).await?;
        }
        ensure!(seen == count, "{seen} events instead of {count}");
        Ok(())
    }

    /// Keeps all of these calls in flight for the given time. The id of each call is its index.
    pub(crate) async fn drive(&mut self, frames: &[Vec<u8>], slice: Duration) -> Result<Driven> {
        self.0.send(&frames.concat()).await?;
        let started = Instant::now();
        let (mut under_way, mut count, mut failures) = (frames.len(), 0.0, 0);
        while under_way > 0 {
            let mut ready = Vec::new();
            let see = |reply: &[u8]| {
                ready.extend(id_of(reply));
                failures += usize::from(reply.windows(8).any(|window| window == b"\"error\":"));
            };
            within(self.0.receive(see)).await?;
            ensure!(failures == 0, "a call was refused");
            under_way -= ready.len();
            count += f64::from(u32::try_from(ready.len())?);
            if started.elapsed() < slice {
                let again: Vec<u8> =
                    ready.iter().filter_map(|id| frames.get(*id)).flatten().copied().collect();
                self.0.send(&again).await?;
                under_way += ready.len();
            }
        }
        Ok(Driven { count, seconds: started.elapsed().as_secs_f64() })
    }
}

/// Encodes one call for each index. The id of a call is its index.
pub(crate) fn frames(depth: usize, one: impl Fn(usize) -> (&'static str, Value)) -> Vec<Vec<u8>> {
    let frame = |id| {
        let (method, params) = one(id);
        encode(&request(id, method, &params))
    };
    (0..depth).map(frame).collect()
}

fn request(id: usize, method: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

/// Waits, and fails when it takes far too long.
pub(crate) async fn within<T>(wait: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(PATIENCE, wait).await.context("nothing came")?
}

/// Returns whether a frame is an event, whose name is at the beginning of its frame.
fn is_event(frame: &[u8]) -> bool {
    const NAME: &[u8] = b"\"method\":\"event\"";
    frame.get(..64).unwrap_or(frame).windows(NAME.len()).any(|window| window == NAME)
}
