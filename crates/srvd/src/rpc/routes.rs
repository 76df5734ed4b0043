//! The dispatch table: one line per method.

use rpc_engine::{ApiInfo, Router};

use crate::rpc::app::App;
use crate::rpc::methods::{
    account, auth, bundle, daemon, declared, ephemeral, events, instance, key, launch, operator, profile,
    provider, resolve, revoke, share,
};

/// Every method of the wire, bound to its handler.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .scoped(App::for_call)
        .on(auth::start)
        .on(auth::poll)
        .on(auth::cancel)
        .on(auth::submit_callback)
        .on(key::submit)
        .on(auth::list)
        .on(bundle::list)
        .on(bundle::get)
        .on(bundle::create)
        .on(bundle::update)
        .on(bundle::delete)
        .on(bundle::bind)
        .on(bundle::unbind)
        .on(account::list)
        .on(account::get)
        .on(account::update)
        .on(account::delete)
        .on(account::refresh_status)
        .on(revoke::revoke)
        .on(account::refused)
        .on(account::strays)
        .on(account::keep_stray)
        .on(account::discard_stray)
        .on(provider::list)
        .on(share::get)
        .on(share::set)
        .on(instance::create)
        .on(instance::list)
        .on(instance::update)
        .on(instance::end)
        .on(launch::resolve)
        .on(launch::ready)
        .on(resolve::best)
        .on(profile::upsert)
        .on(profile::list)
        .on(profile::delete)
        .on(profile::reorder)
        .on(profile::delete_agent)
        .on(profile::delete_user)
        .on(declared::list)
        .on(declared::reload)
        .on(ephemeral::put)
        .on(ephemeral::clear)
        .on(operator::list)
        .on(operator::upsert)
        .on(operator::delete)
        .on(operator::start)
        .on(operator::poll)
        .on(operator::cancel)
        .on(operator::active)
        .on(operator::set_active)
        .on(operator::clear_active)
        .on(events::subscribe)
        .on(events::unsubscribe)
        .on(daemon::info)
        .on(daemon::ping)
        .extension("x-events", crate::wire::events::described())
}

/// The description of the service in the `OpenRPC` document.
pub(crate) fn info() -> ApiInfo {
    ApiInfo {
        title: "srvd".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        description: "The identity daemon for AI coding agents, protocol version 1.".to_owned(),
    }
}
