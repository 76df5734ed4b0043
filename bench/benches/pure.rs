//! Benchmarks of the pure parts: one envelope, one dispatch, a megabyte of output, one decision and one opened secret.
//! `cargo bench -p srvd-bench` runs them.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up says so by ending")]
#![allow(missing_docs, reason = "the macros of criterion make items without docs")]

use std::hint::black_box;
use std::sync::Arc;

use auth_spawner::testing::hear;
use auth_spawner::{Registry, SpawnLimits};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use identity_store::{
    BundleId, DatabaseUrl, DestinationBundle, Evidence, Key, KeyPlace, Keyring, SaveApiKey, Status, Store,
    StoreOptions,
};
use rpc_engine::{Broker, BrokerConfig, Call, Engine, Limits, Router, RpcError, wire};
use srvd::api::daemon::{Ping, Pong};
use srvd::api::events;
use srvd::resolution::{Asked, Candidate, Model, Renewal, Secret, Source, decide};

const REQUEST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"srvd.ping","params":{"text":"a text of sixty-four bytes, which is about what people send here"}}"#;
const TEXT: &[u8] = include_bytes!("../text/cli.txt");
const NOW: i64 = 1_000_000;

fn envelope(criterion: &mut Criterion) {
    let limits = Limits::default();
    criterion.bench_function("envelope", |bencher| {
        bencher.iter(|| black_box(wire::parse(black_box(REQUEST), &limits)));
    });
}

#[derive(Clone)]
struct Nothing;

async fn ping(_: Nothing, _: Call, Ping { text }: Ping) -> Result<Pong, RpcError> {
    Ok(Pong { text })
}

fn dispatch(criterion: &mut Criterion) {
    let service = Router::new().on(ping).build(&Nothing, srvd::routes::info(), Limits::default());
    let broker = Broker::new(BrokerConfig { epoch: "1".to_owned(), keep: 16, methods: events::METHODS });
    let engine = Engine::new(service, broker);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    criterion.bench_function("dispatch", |bencher| {
        bencher.iter(|| runtime.block_on(engine.post(black_box(REQUEST.as_bytes()))));
    });
}

/// Measures lines and matcher together, as a session uses them.
fn scanning(criterion: &mut Criterion) {
    let registry = Registry::builtin().unwrap();
    let limit = SpawnLimits::default().line_bytes;
    let text = TEXT.repeat((1 << 20) / TEXT.len() + 1);
    let mut group = criterion.benchmark_group("scanning");
    group.throughput(Throughput::Bytes(text.len() as u64)).sample_size(20);
    for (id, recipe) in [("claude", "login"), ("codex", "device-auth")] {
        let provider = registry.provider(id).unwrap();
        let recipe = &provider.recipe(recipe, None).unwrap();
        group.bench_function(id, |bencher| {
            bencher.iter(|| hear(provider, recipe, limit, black_box(&text).chunks(64 * 1024)));
        });
    }
}

fn resolution(criterion: &mut Criterion) {
    let registry = Registry::builtin().unwrap();
    let provider = registry.provider("claude").unwrap();
    let candidate = |position: i64| Candidate {
        id: format!("profile-{position}"),
        source: if position < 4 { Source::User } else { Source::Declared },
        provider: if position % 2 == 0 { "claude" } else { "codex" }.to_owned(),
        model: if position % 3 == 0 { Model::Any } else { Model::Only("a-model".to_owned()) },
        position,
        secret: Secret::Found,
        expires_at: Some(NOW + position - 4),
        renewal: Renewal::None,
    };
    let candidates: Vec<Candidate> = (0..8).map(candidate).collect();
    let asked = Asked::of(provider, Some("a-model"), &registry, NOW);
    criterion.bench_function("resolution among eight", |bencher| {
        bencher.iter(|| decide(black_box(&candidates), black_box(&asked)));
    });
}

/// Measures the opening of a secret. Sealing is private to the store, so this reads the row, too.
fn opening(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let key = Key::parse(b"bench-key-0123456789abcdef-0123456789").unwrap();
    let options = StoreOptions::new(DatabaseUrl::sqlite(dir.path().join("srvd.db")), Arc::new(|_| {}), NOW);
    let bundle = BundleId::generate();
    let save = SaveApiKey {
        target: DestinationBundle::New { id: bundle.clone(), name: Some("bench".to_owned()) },
        provider: "openai".parse().unwrap(),
        provider_name: "OpenAI".to_owned(),
        account_name: "bench".to_owned(),
        key: KeyPlace::Sealed("sk-a-key-of-the-benchmark-0123456789".to_owned().into()),
        base_url: None,
        email: None,
        status: Status::Unknown,
        status_reason: None,
        evidence: Evidence::None,
        checked_at: None,
        now: NOW,
    };
    let store = runtime.block_on(async {
        let store = Store::open(options, Keyring::from_key(key)).await.unwrap();
        store.save_api_key(save).await.unwrap();
        store
    });
    criterion.bench_function("a key read and opened", |bencher| {
        bencher.iter(|| runtime.block_on(store.credentials(&bundle, None)).unwrap());
    });
    runtime.block_on(store.close());
}

criterion_group!(pure, envelope, dispatch, scanning, resolution, opening);
criterion_main!(pure);
