//! Tests of the daemon from the user's side: the built program, real sockets, real CLIs.

#![cfg(test)]

mod audit;
mod backup;
mod bundles;
mod commands;
mod confined;
mod daemon;
mod database;
mod declared;
mod deletions;
mod doctor;
mod export;
mod fitness;
mod forge;
mod found;
mod frontend;
mod gh;
mod hanging;
mod health;
mod here;
mod hints;
mod http;
mod instances;
#[cfg(all(feature = "keychain", target_os = "linux"))]
mod keychain;
mod keys;
mod kills;
mod launch;
mod launch_table;
mod logins;
mod metrics;
mod migrate;
mod moved;
mod network;
mod operator;
mod profiles;
mod providers;
mod real_clis;
mod refresh;
mod refusals;
mod removal;
mod renewals;
mod rotation;
mod sealed;
mod search;
mod secrets;
mod shares;
mod standin;
mod support;
mod terminal;
mod tokens;
mod trust;
mod wire;
