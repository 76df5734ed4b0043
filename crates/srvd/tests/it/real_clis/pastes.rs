//! Every login of the registry that accepts a paste: the real CLI runs up to its address, and gets another attempt's
//! answer.

use std::collections::{BTreeMap, BTreeSet};

use auth_spawner::{PasteShape, Recipe, Registry};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use tokio::sync::{Mutex, Semaphore};

use super::{home_at, nothing_is_left, page, parameter, paste, refuses, start};
use crate::support::namespace::inside;
use crate::support::{Daemon, is_over, left_over};

/// Number of logins that run at once. More logins would only wait for the processors.
const AT_ONCE: usize = 2;

/// Pastes the answer of another attempt in each form that the recipe accepts, and then one of this attempt. Returns
/// whether an answer contains a state at all.
async fn refuses_another_attempt(daemon: &Daemon, provider: &str, recipe: &Recipe) -> bool {
    let id =
        start(daemon, json!({"providerId": provider, "recipe": recipe.id, "bundleName": recipe.id})).await;
    let shown = page(daemon, &id).await;
    assert!(!left_over(&id).is_empty(), "{provider} runs");
    let shapes = &recipe.paste.as_ref().unwrap().shapes;
    let stateful = shapes.iter().any(|shape| *shape != PasteShape::Code);
    let answer = |shape: &PasteShape, suffix: &str| {
        let (redirect, state) = (parameter(&shown, "redirect_uri"), parameter(&shown, "state"));
        match shape {
            PasteShape::Url => format!("{redirect}?code=planted-code&state={state}{suffix}"),
            _ => format!("planted-code#{state}{suffix}"),
        }
    };
    for shape in shapes.iter().filter(|shape| **shape != PasteShape::Code) {
        refuses(daemon, &id, answer(shape, "x")).await;
    }
    assert!(!left_over(&id).is_empty(), "{provider} waits for another answer");
    if stateful {
        let accepted = paste(daemon, &id, answer(&shapes[0], "")).await;
        assert_eq!(accepted, json!({"success": true}), "{provider}/{}", recipe.id);
    }
    // The code is invalid, so the CLI may end before the login is cancelled.
    daemon.call("auth.cancel", json!({"sessionId": id})).await;
    let ended = daemon.session(&id, is_over).await;
    assert_eq!(ended["status"], "failed", "{provider}: {ended}");
    for text in [ended.to_string(), daemon.log()] {
        assert!(!text.contains("planted-code"), "{provider}");
    }
    stateful
}

#[test]
fn login_refuses_the_paste_of_another_attempt_when_its_answer_has_a_state() {
    inside(async |vendors| {
        let daemon = home_at(&vendors).start();
        let registry = Registry::builtin().unwrap();
        let mut ports: BTreeMap<u16, Mutex<()>> = BTreeMap::new();
        let mut recipes: BTreeMap<(&str, &str), &Recipe> = BTreeMap::new();
        // These CLIs have directories of their own, and tests that paste their answers.
        let apart = ["auggie", "cline", "droid", "grok", "kilo", "qoder"];
        for provider in registry.iter().filter(|provider| !apart.contains(&provider.id.as_str())) {
            for recipe in provider.cli.iter().flat_map(|cli| &cli.recipes) {
                if recipe.paste.is_some() {
                    ports.extend(recipe.callback_ports.iter().map(|port| (*port, Mutex::new(()))));
                    recipes.entry((&provider.id, &recipe.id)).or_insert(recipe);
                }
            }
        }
        let (places, daemon, ports) = (Semaphore::new(AT_ONCE), &daemon, &ports);
        let places = &places;
        let logins: FuturesUnordered<_> = recipes
            .iter()
            .map(|(name, recipe)| async move {
                let mut held = Vec::new();
                for port in &recipe.callback_ports {
                    held.push(ports[port].lock().await);
                }
                let _place = places.acquire().await;
                (*name, refuses_another_attempt(daemon, name.0, recipe).await)
            })
            .collect();
        let done: BTreeMap<(&str, &str), bool> = logins.collect().await;
        let without: BTreeSet<_> =
            done.iter().filter(|(_, stateful)| !**stateful).map(|(name, _)| *name).collect();
        assert_eq!(without, BTreeSet::from([("amp", "login")]), "their answers carry no state");
        for name in [("claude", "login"), ("claude", "setup-token"), ("gemini", "login"), ("pi", "openai")] {
            assert_eq!(done.get(&name), Some(&true), "{name:?}");
        }
        nothing_is_left(daemon, "").await;
    });
}
