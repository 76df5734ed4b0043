//! Calls on one connection, one by one or with a fixed number in flight, and the events received in between.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::servers::Address;
use crate::socket::{Socket, encode, id_of};

/// The number of calls in flight when many are made.
pub(crate) const DEPTH: usize = 16;

/// A connection that makes calls.
pub(crate) struct Caller {
    socket: Socket,
    /// Events that have been received but not returned yet.
    events: VecDeque<Value>,
}

/// The number and duration of calls that were kept in flight for a while.
pub(crate) struct Driven {
    pub(crate) count: f64,
    pub(crate) seconds: f64,
}

impl Caller {
    /// Connects over TCP.
    pub(crate) async fn open(address: &Address) -> Result<Self> {
        Ok(Self { socket: Socket::open(address).await?, events: VecDeque::new() })
    }

    /// Connects to the daemon's Unix socket.
    pub(crate) async fn open_unix(path: &Path) -> Result<Self> {
        Ok(Self { socket: Socket::open_unix(path).await?, events: VecDeque::new() })
    }

    /// Sends a request and waits for its reply. Events received before it are skipped.
    pub(crate) async fn call(&mut self, method: &str, params: &Value) -> Result<Value> {
        self.socket.send(&encode(&request(0, method, params))).await?;
        let mut answer = None;
        while answer.is_none() {
            let see = |frame: &[u8]| {
                if !is_event(frame) {
                    answer = Some(serde_json::from_slice::<Value>(frame));
                }
            };
            self.socket.receive(see).await?;
        }
        result(answer.context("no answer")??).with_context(|| method.to_owned())
    }

    /// Makes these calls with [`DEPTH`] in flight, and returns their results in order.
    pub(crate) async fn all(&mut self, calls: &[(&str, Value)]) -> Result<Vec<Value>> {
        let mut results: Vec<Value> = vec![Value::Null; calls.len()];
        let mut waiting = calls.iter().enumerate();
        let (mut done, mut under_way) = (0, 0);
        while done < calls.len() {
            let batch: Vec<u8> = waiting
                .by_ref()
                .take(DEPTH - under_way)
                .flat_map(|(id, (method, params))| {
                    under_way += 1;
                    encode(&request(id, method, params))
                })
                .collect();
            self.socket.send(&batch).await?;
            let mut answers = Vec::new();
            self.socket.receive(|frame| answers.push(serde_json::from_slice::<Value>(frame))).await?;
            for answer in answers {
                let answer = answer?;
                let Some(id) = answer["id"].as_u64() else { continue };
                *results.get_mut(usize::try_from(id)?).context("an id that was never sent")? =
                    result(answer)?;
                done += 1;
                under_way -= 1;
            }
        }
        Ok(results)
    }

    /// Returns the parameters of the next event.
    pub(crate) async fn event(&mut self) -> Result<Value> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let events = &mut self.events;
            let see = |frame: &[u8]| {
                let event = is_event(frame).then(|| serde_json::from_slice::<Value>(frame).ok()).flatten();
                events.extend(event.map(|mut event| event["params"].take()));
            };
            self.socket.receive(see).await?;
        }
    }

    /// Waits until this many events have been received. Fails if there are more.
    pub(crate) async fn events(&mut self, count: usize) -> Result<()> {
        let mut seen = 0;
        while seen < count {
            self.socket.receive(|frame| seen += usize::from(is_event(frame))).await?;
        }
        ensure!(seen == count, "{seen} events instead of {count}");
        Ok(())
    }

    /// Keeps all of these calls in flight for the given time. The id of each call is its index.
    pub(crate) async fn drive(&mut self, frames: &[Vec<u8>], slice: Duration) -> Result<Driven> {
        self.socket.send(&frames.concat()).await?;
        let started = Instant::now();
        let (mut under_way, mut count, mut failures) = (frames.len(), 0.0, 0);
        while under_way > 0 {
            let mut ready = Vec::new();
            let see = |reply: &[u8]| {
                ready.extend(id_of(reply));
                failures += usize::from(reply.windows(8).any(|window| window == b"\"error\":"));
            };
            self.socket.receive(see).await?;
            ensure!(failures == 0, "a call failed");
            under_way -= ready.len();
            count += f64::from(u32::try_from(ready.len())?);
            if started.elapsed() < slice {
                let again: Vec<u8> =
                    ready.iter().filter_map(|id| frames.get(*id)).flatten().copied().collect();
                self.socket.send(&again).await?;
                under_way += ready.len();
            }
        }
        Ok(Driven { count, seconds: started.elapsed().as_secs_f64() })
    }
}

/// Encodes one call per index. The id of a call is its index.
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

/// Returns the result in a reply. Fails if the reply is an error.
fn result(mut answer: Value) -> Result<Value> {
    ensure!(answer.get("error").is_none(), "the call failed: {answer}");
    Ok(answer["result"].take())
}

/// Returns whether a frame is an event, based on the method name at its start.
fn is_event(frame: &[u8]) -> bool {
    const NAME: &[u8] = b"\"method\":\"event\"";
    frame.get(..64).unwrap_or(frame).windows(NAME.len()).any(|window| window == NAME)
}
