//! A small test service, a raw WebSocket peer, and timeouts.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rpc_engine::{
    ApiInfo, Broker, BrokerConfig, Call, Closed, Cursor, Engine, EventMethods, Io, Limits, MethodScope,
    Params, Router, RpcError, Subscribed,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::UnixStream;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

pub(crate) const METHODS: EventMethods = EventMethods { event: "event", lagged: "events.lagged" };

/// Waits for something that must happen. The deadline only ends a test that would otherwise hang.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(2), future).await.expect("timed out")
}

/// The state shared by the handlers of the test service and the test.
#[derive(Clone)]
pub(crate) struct App {
    /// The permits for `wait`: each call ends when it receives one.
    pub(crate) permits: Arc<Semaphore>,
    /// Notified when a call of `wait` begins.
    pub(crate) begun: Arc<Notify>,
    /// Notified when a call of `wait` ends.
    pub(crate) ended: Arc<Notify>,
    pub(crate) broker: Broker,
}

macro_rules! method {
    ($type:ident, $name:literal, $result:ty) => {
        impl Params for $type {
            const METHOD: &'static str = $name;
            const SUMMARY: &'static str = concat!("Test method ", $name, ".");
            type Result = $result;
        }
    };
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Subtract {
    pub(crate) minuend: i64,
    pub(crate) subtrahend: i64,
}
method!(Subtract, "subtract", i64);

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Sum(pub(crate) Vec<i64>);
method!(Sum, "sum", i64);

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Update(Vec<i64>);
method!(Update, "update", ());

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct NotifyHello(Vec<i64>);
method!(NotifyHello, "notify_hello", ());

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct NotifySum(Vec<i64>);
method!(NotifySum, "notify_sum", ());

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct GetData {}
method!(GetData, "get_data", (String, u8));

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Echo {
    /// The text to return.
    pub(crate) text: String,
}
method!(Echo, "echo", String);

/// A greeting in an object, so that a result can have warnings.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Greet {
    pub(crate) name: Option<String>,
    pub(crate) greeting: Option<String>,
}
impl Params for Greet {
    const METHOD: &'static str = "greet.person";
    const SUMMARY: &'static str = "Test method greet.person.";
    const ALIASES: &'static [&'static str] = &["greetPerson"];
    type Result = Greeted;
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Greeted {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// Returns its unknown parameters.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Report {}
impl Params for Report {
    const METHOD: &'static str = "report";
    const SUMMARY: &'static str = "Test method report.";
    const REPORTS_UNKNOWN: bool = true;
    type Result = Vec<String>;
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Crash {}
method!(Crash, "crash", ());

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Refuse {}
impl Params for Refuse {
    const METHOD: &'static str = "refuse";
    const SUMMARY: &'static str = "Test method refuse.";
    const ERRORS: &'static [i32] = &[1001];
    type Result = ();
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Wait {}
impl Params for Wait {
    const METHOD: &'static str = "wait";
    const SUMMARY: &'static str = "Test method wait.";
    const LONGEST: Duration = Duration::from_hours(1);
    type Result = bool;
}

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    #[serde(default)]
    pub(crate) data: Option<Value>,
}
method!(Publish, "publish", u64);

#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Subscribe {
    pub(crate) topics: Vec<String>,
    #[serde(default)]
    pub(crate) since: Option<Cursor>,
}
method!(Subscribe, "events.subscribe", Subscribed);

/// Subscribes, publishes to the new subscription, waits, and then fails if requested.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SlowSubscribe {
    pub(crate) topic: String,
    #[serde(default)]
    pub(crate) fail: bool,
}
method!(SlowSubscribe, "slow_subscribe", Subscribed);

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Unsubscribe {
    pub(crate) subscription_id: String,
}
method!(Unsubscribe, "events.unsubscribe", bool);

async fn wait(app: App, _call: Call, _: Wait) -> Result<bool, RpcError> {
    app.begun.notify_one();
    app.permits.acquire().await.map_err(|_| RpcError::internal())?.forget();
    app.ended.notify_one();
    Ok(true)
}

async fn slow_subscribe(app: App, call: Call, params: SlowSubscribe) -> Result<Subscribed, RpcError> {
    let subscribed = call.subscribe(vec![params.topic.clone()], None)?;
    app.broker.publish(&params.topic, 1, None);
    app.begun.notify_one();
    app.permits.acquire().await.map_err(|_| RpcError::internal())?.forget();
    if params.fail { Err(RpcError::new(1001, "no")) } else { Ok(subscribed) }
}

/// Spawns a task that logs a line, and waits for it.
#[derive(Serialize, Deserialize, JsonSchema)]
pub(crate) struct Spawn {}
method!(Spawn, "spawn", ());

async fn spawn(_: App, _: Call, _: Spawn) -> Result<(), RpcError> {
    let task = async { tracing::info!("a spawned task is running") };
    tokio::spawn(task.in_current_span()).await.map_err(|_| RpcError::internal())
}

async fn crash(_: App, _: Call, _: Crash) -> Result<(), RpcError> {
    panic!("sk-secret in a panic")
}

fn router() -> Router<App> {
    Router::new()
        .on(|_, _, p: Subtract| async move { Ok::<_, RpcError>(p.minuend - p.subtrahend) })
        .on(|_, _, p: Sum| async move { Ok::<_, RpcError>(p.0.iter().sum::<i64>()) })
        .on(|_, _, _: Update| async { Ok::<_, RpcError>(()) })
        .on(|_, _, _: NotifyHello| async { Ok::<_, RpcError>(()) })
        .on(|_, _, _: NotifySum| async { Ok::<_, RpcError>(()) })
        .on(|_, _, _: GetData| async { Ok::<_, RpcError>(("hello".to_owned(), 5)) })
        .on(|_, _, p: Echo| async move { Ok::<_, RpcError>(p.text) })
        .on(|_, _, _: Refuse| async { Err::<(), _>(RpcError::new(1001, "gone").with_kind("not_found")) })
        .on(|app: App, _, p: Publish| async move { Ok::<_, RpcError>(app.broker.publish(&p.topic, 7, p.data)) })
        .on(|_, call: Call, p: Subscribe| async move { call.subscribe(p.topics, p.since) })
        .on(|_, call: Call, p: Unsubscribe| async move { call.unsubscribe(&p.subscription_id) })
        .guarded(|call, method| match (call.grant.as_deref(), method.scope) {
            (Some(grant), Some(scope)) if grant == scope.name => Ok(()),
            (None, _) => Ok(()),
            _ => Err(RpcError::new(1015, "no").with_kind("forbidden")),
        })
        .on(|_, _, p: Greet| async move { Ok::<_, RpcError>(Greeted { text: p.name.or(p.greeting) }) })
        .needs(MethodScope { name: "greet", strict: false })
        .on(|_, call: Call, _: Report| async move { Ok::<_, RpcError>(call.unknown) })
        .on(crash)
        .on(spawn)
        .on(wait)
        .on(slow_subscribe)
}

/// An engine with the test service.
pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) app: App,
}

impl Server {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::keeping(limits, 64)
    }

    pub(crate) fn keeping(limits: Limits, keep: usize) -> Self {
        crate::logs::install();
        let broker = Broker::new(BrokerConfig { epoch: "e1".into(), keep, methods: METHODS });
        let app = App {
            permits: Arc::new(Semaphore::new(0)),
            begun: Arc::default(),
            ended: Arc::default(),
            broker: broker.clone(),
        };
        let info = ApiInfo { title: "test".into(), version: "1".into(), description: "A test.".into() };
        let service = router().build(&app, info, limits);
        Self { engine: Engine::new(service, broker), app }
    }

    pub(crate) fn connect(&self) -> Peer {
        self.connect_with(1 << 20, &[])
    }

    /// Opens a connection. `pipe` is the size of the stream buffers. `leftover` contains bytes read with the HTTP head.
    pub(crate) fn connect_with(&self, pipe: usize, leftover: &[u8]) -> Peer {
        let (near, far) = tokio::io::duplex(pipe);
        Peer { stream: near, served: self.serve(far, leftover) }
    }

    /// Opens a connection over a Unix socket, which the runtime's driver polls.
    pub(crate) fn connect_unix(&self) -> Peer<UnixStream> {
        let (near, far) = UnixStream::pair().unwrap();
        Peer { stream: near, served: self.serve(far, &[]) }
    }

    pub(crate) fn serve(&self, stream: impl Io + 'static, leftover: &[u8]) -> JoinHandle<Closed> {
        let (engine, leftover) = (self.engine.clone(), Bytes::copy_from_slice(leftover));
        tokio::spawn(async move { engine.serve(stream, leftover).await })
    }

    /// Returns the same server for callers with this permission.
    pub(crate) fn granted(&self, grant: &str) -> Self {
        Self { engine: self.engine.granted(grant), app: self.app.clone() }
    }

    pub(crate) async fn post(&self, body: &str) -> Option<Value> {
        let reply = soon(self.engine.post(body.as_bytes())).await?;
        Some(serde_json::from_slice(&reply).unwrap())
    }
}

/// The client end of a connection, with access to individual frames.
pub(crate) struct Peer<S = DuplexStream> {
    pub(crate) stream: S,
    pub(crate) served: JoinHandle<Closed>,
}

/// Encodes one masked frame from its first byte (FIN, RSV, opcode) and its payload.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..=125 => bytes.push(0x80 | u8::try_from(short).unwrap()),
        middle @ 126..=0xffff => {
            bytes.push(0xfe);
            bytes.extend(u16::try_from(middle).unwrap().to_be_bytes());
        }
        long => {
            bytes.push(0xff);
            bytes.extend((long as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

pub(crate) fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        soon(self.stream.write_all(bytes)).await.unwrap();
    }

    pub(crate) async fn send(&mut self, payload: &str) {
        self.raw(&text(payload)).await;
    }

    /// Returns the first byte and the payload of the next frame, or `None` if the server has closed its side.
    pub(crate) async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        soon(async {
            let first = self.stream.read_u8().await.ok()?;
            let length = match self.stream.read_u8().await.unwrap() {
                126 => usize::from(self.stream.read_u16().await.unwrap()),
                127 => usize::try_from(self.stream.read_u64().await.unwrap()).unwrap(),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            self.stream.read_exact(&mut payload).await.unwrap();
            Some((first, payload))
        })
        .await
    }

    /// Returns the next text frame as JSON.
    pub(crate) async fn next(&mut self) -> Value {
        let (first, payload) = self.frame().await.expect("the connection was closed");
        assert_eq!(first, 0x81, "{}", String::from_utf8_lossy(&payload));
        serde_json::from_slice(&payload).unwrap()
    }

    pub(crate) async fn ask(&mut self, payload: &str) -> Value {
        self.send(payload).await;
        self.next().await
    }

    /// Makes a call with a unique id and returns its result.
    pub(crate) async fn call(&mut self, method: &str, params: &Value) -> Value {
        let request = serde_json::json!({"jsonrpc": "2.0", "id": "call", "method": method, "params": params});
        let mut reply = self.ask(&request.to_string()).await;
        assert_eq!(reply["id"], "call", "{reply}");
        reply["result"].take()
    }

    /// Expects a close frame followed by the end of the stream. Returns the code and the reason.
    pub(crate) async fn closing(&mut self) -> (u16, String) {
        let (first, payload) = self.frame().await.expect("no close frame");
        assert_eq!(first, 0x88, "{}", String::from_utf8_lossy(&payload));
        assert_eq!(self.frame().await, None);
        let code = u16::from_be_bytes([payload[0], payload[1]]);
        (code, String::from_utf8(payload[2..].to_vec()).unwrap())
    }

    /// Closes this side and returns the engine's reason for closing.
    pub(crate) async fn ended(self) -> Closed {
        drop(self.stream);
        soon(self.served).await.unwrap()
    }
}
