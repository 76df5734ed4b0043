//! The dispatch table: one line per method.

use rpc_engine::{ApiInfo, Closed, Limits, Router};
use serde_json::{Value, json};

use crate::rpc::app::App;
use crate::rpc::methods::{
    account, audit, auth, bundle, console, daemon, declared, doctor, ephemeral, events, forge, instance, key,
    launch, operator, pair, profile, provider, quota, resolve, revoke, share,
};
use crate::rpc::{errors, examples};
use crate::wire::error::Kind;
use crate::wire::scope::{ADMIN, LAUNCH, LOGIN, OWNER, READ};
use crate::wire::{daemon as daemon_wire, events as topics};

/// Every method of the wire, bound to its handler and to the scope that a client's token needs.
#[expect(clippy::too_many_lines, reason = "a table with two lines for each method")]
pub(crate) fn router() -> Router<App> {
    Router::new()
        .scoped(App::for_call)
        .guarded(errors::guard)
        .errors(Kind::ENTRIES)
        .derived_errors(errors::derived)
        .on(auth::start)
        .needs(LOGIN)
        .on(auth::poll)
        .needs(LOGIN)
        .on(auth::cancel)
        .needs(LOGIN)
        .on(auth::submit_callback)
        .needs(LOGIN)
        .on(key::submit)
        .needs(LOGIN)
        .on(auth::list)
        .needs(LOGIN)
        .on(audit::list)
        .needs(ADMIN)
        .on(bundle::list)
        .needs(READ)
        .on(bundle::get)
        .needs(READ)
        .on(bundle::create)
        .needs(ADMIN)
        .on(bundle::update)
        .needs(ADMIN)
        .on(bundle::delete)
        .needs(ADMIN)
        .on(bundle::bind)
        .needs(ADMIN)
        .on(bundle::unbind)
        .needs(ADMIN)
        .on(account::list)
        .needs(READ)
        .on(account::get)
        .needs(READ)
        .on(account::update)
        .needs(ADMIN)
        .on(account::delete)
        .needs(ADMIN)
        .on(account::refresh_status)
        .needs(LOGIN)
        .on(revoke::revoke)
        .needs(ADMIN)
        .on(account::refused)
        .needs(LAUNCH)
        .on(account::keep_alive)
        .needs(LOGIN)
        .on(quota::list)
        .needs(READ)
        .on(quota::get)
        .needs(READ)
        .on(quota::refresh)
        .needs(LOGIN)
        .on(quota::suggest)
        .needs(READ)
        .on(account::strays)
        .needs(READ)
        .on(account::keep_stray)
        .needs(LOGIN)
        .on(account::discard_stray)
        .needs(ADMIN)
        .on(provider::list)
        .needs(READ)
        .on(share::get)
        .needs(READ)
        .on(share::set)
        .needs(ADMIN)
        .on(instance::create)
        .needs(LAUNCH)
        .on(instance::list)
        .needs(READ)
        .on(instance::update)
        .needs(LAUNCH)
        .on(instance::end)
        .needs(LAUNCH)
        .on(launch::resolve)
        .needs(LAUNCH)
        .on(launch::ready)
        .needs(READ)
        .on(resolve::best)
        .needs(LAUNCH)
        .on(profile::upsert)
        .needs(ADMIN)
        .on(profile::list)
        .needs(READ)
        .on(profile::delete)
        .needs(ADMIN)
        .on(profile::reorder)
        .needs(ADMIN)
        .on(profile::delete_agent)
        .needs(ADMIN)
        .on(profile::delete_user)
        .needs(ADMIN)
        .on(declared::list)
        .needs(READ)
        .on(declared::reload)
        .needs(ADMIN)
        .on(ephemeral::put)
        .needs(LAUNCH)
        .on(ephemeral::clear)
        .needs(LAUNCH)
        .on(operator::list)
        .needs(READ)
        .on(operator::upsert)
        .needs(ADMIN)
        .on(operator::delete)
        .needs(ADMIN)
        .on(operator::start)
        .needs(LOGIN)
        .on(operator::poll)
        .needs(LOGIN)
        .on(operator::cancel)
        .needs(LOGIN)
        .on(operator::active)
        .needs(READ)
        .on(operator::set_active)
        .needs(ADMIN)
        .on(operator::clear_active)
        .needs(ADMIN)
        .on(pair::start)
        .needs(OWNER)
        .on(pair::poll)
        .needs(OWNER)
        .on(pair::answer)
        .needs(OWNER)
        .on(pair::tokens)
        .needs(ADMIN)
        .on(pair::revoke)
        .needs(ADMIN)
        .on(doctor::run)
        .needs(READ)
        .on(console::open)
        .needs(OWNER)
        .on(console::sessions)
        .needs(ADMIN)
        .on(console::end)
        .needs(ADMIN)
        .on(forge::whoami)
        .needs(READ)
        .on(forge::repos)
        .needs(READ)
        .on(forge::repo)
        .needs(READ)
        .on(forge::branches)
        .needs(READ)
        .on(forge::pulls)
        .needs(READ)
        .on(forge::create_pull)
        .needs(ADMIN)
        .on(forge::issues)
        .needs(READ)
        .on(forge::request)
        .needs(READ)
        .on(forge::watch)
        .needs(ADMIN)
        .on(forge::unwatch)
        .needs(ADMIN)
        .on(forge::watched)
        .needs(READ)
        .on(forge::credential)
        .needs(LAUNCH)
        .on(forge::rejected)
        .needs(LAUNCH)
        .on(events::subscribe)
        .needs(READ)
        .on(events::unsubscribe)
        .needs(READ)
        .on(daemon::info)
        .needs(READ)
        .on(daemon::ping)
        .needs(READ)
        .servers(servers())
        .schemas(topics::schemas())
        .examples(examples::all())
        .extension("x-events", topics::described())
        .extension("x-limits", json!(daemon_wire::Limits::from(&limits())))
        .extension("x-close-codes", close_codes())
        .extension("x-warnings", warnings())
}

/// The limits of the service.
pub(crate) fn limits() -> Limits {
    Limits::default()
}

/// The addresses of a daemon. The port is in the endpoint file.
fn servers() -> Value {
    let port = json!({"port": {"default": "7878", "description": "The port of `url` in endpoint.json."}});
    json!([
        {"name": "websocket", "url": "ws://127.0.0.1:${port}/rpc", "summary": "WebSocket, with events", "variables": port},
        {"name": "http", "url": "http://127.0.0.1:${port}/rpc", "summary": "One request or batch by POST", "variables": port},
    ])
}

/// The codes with which the daemon closes a WebSocket.
fn close_codes() -> Value {
    let code = |closed: &Closed| Some(json!({"code": closed.code()?, "summary": closed.to_string()}));
    Closed::BY_SERVER.iter().filter_map(code).collect()
}

/// The member that any result that is an object may have.
fn warnings() -> Value {
    json!({
        "name": "warnings",
        "summary": "A result that is an object names ignored parameters in this member.",
        "schema": {"title": "Warnings", "type": "array", "items": {"title": "Warning", "type": "string"}},
    })
}

/// The description of the service in the `OpenRPC` document.
pub(crate) fn info() -> ApiInfo {
    ApiInfo {
        title: "srvd".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        description: "The identity daemon for AI coding agents, protocol version 1.".to_owned(),
    }
}
