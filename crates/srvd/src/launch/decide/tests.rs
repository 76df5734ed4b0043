use std::sync::{Arc, LazyLock};
use std::time::Duration;

use auth_spawner::{Provider, Registry};
use proptest::prelude::*;
use tokio::time::Instant;

use super::*;
use crate::keys::external::Why;
use crate::launch::candidate::Credential;
use crate::launch::settle::{Action, Attempt, settle};
use crate::wire::{Source, Status};

const NOW: i64 = 1_000_000;

fn registry() -> &'static Registry {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::builtin().unwrap());
    &REGISTRY
}

fn claude() -> &'static Arc<Provider> {
    registry().provider("Claude-Code").unwrap()
}

/// A valid credential of `claude` for any model.
fn live(source: Source, id: &str) -> Candidate {
    Candidate {
        id: id.to_owned(),
        source,
        account: None,
        provider: claude().clone(),
        unproven: false,
        login: false,
        model: Model::Any,
        position: 0,
        state: State::Found,
        expires_at: None,
        renewal: Renewability::None,
        status: Status::Valid,
        base_url: None,
        home: None,
        generation: None,
        owner: None,
        grant: None,
        credential: Credential::Key("planted".into()),
        not_taken: None,
        person: None,
        next_step: None,
    }
}

fn user(id: &str) -> Candidate {
    live(Source::User, id)
}

fn declared() -> Candidate {
    live(Source::Declared, "declared:a:claude")
}

fn expired(candidate: Candidate, renewal: Renewability) -> Candidate {
    Candidate { expires_at: Some(NOW - 1), renewal, ..candidate }
}

fn only(candidate: Candidate, model: &str) -> Candidate {
    Candidate { model: Model::Only(model.to_owned()), ..candidate }
}

fn unavailable(text: &str) -> State {
    State::Unavailable(Unavailable::new(Why::Undecryptable, text))
}

fn broken(candidate: Candidate) -> Candidate {
    Candidate { state: unavailable("it does not open"), ..candidate }
}

fn request(model: Option<&str>) -> Request {
    let model = model.and_then(|model| Model::of(Some(model), claude(), registry()).only());
    Request { model, any_model: false, min_ttl: 0, now: NOW }
}

fn attempt(request: Request, budget: Duration) -> Attempt {
    Attempt { request, refresh: true, deadline: Instant::now() + budget }
}

fn used(chosen: usize) -> Outcome {
    Outcome::Use { chosen, degraded_from: None }
}

fn degraded(chosen: usize, from: usize) -> Outcome {
    Outcome::Use { chosen, degraded_from: Some(from) }
}

fn tried() -> Renewability {
    Renewability::Tried { failed: Some("HTTP status 500".to_owned()), retry_at: Some(NOW + 5) }
}

#[test]
fn resolution_ranks_candidates_by_source_and_validity() {
    let check = |case: &str, candidates: &[Candidate], expect: Outcome| {
        let decision = decide(candidates, &request(None));
        assert_eq!(decision.outcome, expect, "{case}: {:?}", decision.trace);
    };
    let ephemeral = || live(Source::Ephemeral, "ephemeral:a:claude");
    check("declared alone", &[declared()], used(0));
    check("nothing is left of what was removed", &[], Outcome::NoCredential);
    check("the user's own, whatever the order", &[declared(), ephemeral(), user("u")], used(2));
    check("a lent one before a declared one", &[declared(), ephemeral()], used(1));
    check("expired, cannot renew", &[expired(user("u"), Renewability::None), declared()], degraded(1, 0));
    let refreshable = || expired(user("u"), Renewability::Possible);
    check("refreshed before falling back", &[refreshable(), declared()], Outcome::RefreshFirst(0));
    check("the refresh failed", &[expired(user("u"), tried()), declared()], degraded(1, 0));
    let waiting = |until| expired(user("u"), Renewability::Waiting { until });
    check("not due yet", &[waiting(NOW + 1), declared()], degraded(1, 0));
    check("due again", &[waiting(NOW), declared()], Outcome::RefreshFirst(0));
    check(
        "all expired",
        &[expired(user("u"), Renewability::None), expired(declared(), Renewability::None)],
        Outcome::AllExpired { retry_at: None },
    );
    check(
        "all expired, one of them for a while",
        &[expired(user("u"), Renewability::None), waiting(NOW + 9), waiting(NOW + 7)],
        Outcome::AllExpired { retry_at: Some(NOW + 7) },
    );
    check("a broken row hides nothing", &[broken(user("u")), declared()], degraded(1, 0));
    check("only broken rows", &[broken(user("u"))], Outcome::SecretUnavailable(0));
    let dead = || expired(user("u"), Renewability::Person("invalid_grant".to_owned()));
    check("a dead refresh token", &[dead(), declared()], degraded(1, 0));
    check("a dead refresh token, and nothing else", &[broken(declared()), dead()], Outcome::NeedsReauth(1));
    let refused = Candidate { state: State::Refused, ..user("u") };
    check("a key that its provider refused", &[refused.clone(), declared()], degraded(1, 0));
    check("a key that its provider refused, alone", &[refused], Outcome::NeedsReauth(0));
    check(
        "a temporary failure is reported first",
        &[dead(), expired(user("v"), tried())],
        Outcome::RefreshFailed { candidate: 1, retry_at: Some(NOW + 5) },
    );
    let at = |id: &str, position| Candidate { position, ..user(id) };
    check("the primary of several accounts", &[at("a", 1), at("b", 0), at("c", 2)], used(1));
    check("a dead primary", &[at("a", 1), expired(at("b", 0), Renewability::None)], degraded(0, 1));
    let alive =
        Candidate { expires_at: Some(NOW + 1), renewal: Renewability::Person("x".to_owned()), ..user("u") };
    check("a dead refresh token and a living access token", &[alive, declared()], used(0));
    let ambient = Candidate { state: State::Ambient, ..live(Source::Bundle, "acc") };
    check("a directory that is not the daemon's", &[ambient], Outcome::Ambient(0));
    let shadowed = State::Unfit(Unfit::Shadowed("/s sets k".to_owned()));
    let shadowed = Candidate { state: shadowed, ..live(Source::Bundle, "acc") };
    check("a login whose place a setting takes", &[shadowed], Outcome::Unfit(0));
    let absent = Candidate { state: State::NeedsReauth("no login".into()), ..live(Source::Bundle, "acc") };
    check("a directory without a login", &[absent], Outcome::NeedsReauth(0));
}

#[test]
fn resolution_prefers_exact_model_over_any_model() {
    let check = |case: &str, model: Option<&str>, candidates: &[Candidate], expect: Outcome| {
        let decision = decide(candidates, &request(model));
        assert_eq!(decision.outcome, expect, "{case}: {:?}", decision.trace);
    };
    let opus = || only(user("z"), "opus");
    check("exact beats any", Some("opus"), &[user("a"), opus()], used(1));
    check("any beats another one", Some("haiku"), &[opus(), user("z")], used(1));
    check("the provider's prefix", Some("claude/opus"), &[user("a"), opus()], used(1));
    check("the prefix under an alias", Some("Claude-Code/opus"), &[user("a"), opus()], used(1));
    check("another provider's prefix is part of the name", Some("codex/opus"), &[user("a"), opus()], used(0));
    check("another model's only", Some("haiku"), &[opus()], Outcome::NoProfileForModel);
    check("no model is any model", Some("*"), &[opus()], used(0));
    check("no model at all", None, &[opus()], used(0));
    check("exact but dead", Some("opus"), &[user("a"), expired(opus(), Renewability::None)], degraded(0, 1));
    check("a declared one for all models", Some("haiku"), &[opus(), declared()], used(1));
    let any = Request { any_model: true, ..request(Some("haiku")) };
    assert_eq!(decide(&[opus()], &any).outcome, used(0));
    assert_eq!(decide(&[opus(), declared()], &any).outcome, used(1));
}

#[test]
fn resolution_requires_credential_to_outlast_min_ttl() {
    let check = |ends: Option<i64>, renewal: Renewability, min_ttl: i64, expect: Outcome| {
        let candidate = Candidate { expires_at: ends, renewal, ..user("u") };
        let request = Request { min_ttl, ..request(None) };
        assert_eq!(decide(&[candidate], &request).outcome, expect, "{ends:?} {min_ttl}");
    };
    let over = Outcome::AllExpired { retry_at: None };
    check(None, Renewability::None, i64::MAX, used(0));
    check(Some(NOW), Renewability::None, 0, over.clone());
    check(Some(NOW + 1), Renewability::None, 0, used(0));
    check(Some(NOW + 1), Renewability::None, -5, used(0));
    check(Some(NOW + 10), Renewability::None, 10, over.clone());
    check(Some(NOW + 11), Renewability::None, 10, used(0));
    check(Some(NOW + 10), Renewability::Possible, 10, Outcome::RefreshFirst(0));
    check(Some(NOW + 10), Renewability::Person("x".to_owned()), 10, Outcome::NeedsReauth(0));
    check(Some(0), Renewability::None, 0, over.clone());
    check(Some(i64::MIN), Renewability::None, 0, over.clone());
    check(Some(i64::MAX - 1), Renewability::None, i64::MAX, over);
}

#[test]
fn resolution_gives_each_candidate_a_verdict() {
    let candidates = [
        only(user("m"), "opus"),
        broken(user("b")),
        expired(Candidate { position: 1, ..user("e") }, Renewability::None),
        expired(Candidate { position: 2, ..user("f") }, tried()),
        declared(),
        live(Source::Ephemeral, "ephemeral:a:claude"),
    ];
    let decision = decide(&candidates, &request(Some("haiku")));
    assert_eq!(decision.outcome, degraded(5, 1));
    let words: Vec<String> = decision.trace.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "it is for another model",
            "it does not open",
            "it has expired",
            "its refresh failed: HTTP status 500",
            "a credential with higher precedence is used",
            "it is used",
        ]
    );
}

#[tokio::test]
async fn settle_refreshes_each_candidate_once_in_rank_order() {
    let budget = Duration::from_mins(1);
    let stale = |id: &str, position| expired(Candidate { position, ..user(id) }, Renewability::Possible);
    let start = [declared(), stale("b", 1), stale("a", 0)];

    let mut order = Vec::new();
    let mut candidates = start.clone();
    let decision = settle(&mut candidates, &attempt(request(None), budget), |_, before| {
        order.push(before.id.clone());
        // The first one fails, the second one is renewed.
        let after = if before.id == "a" {
            Candidate { renewal: tried(), ..before }
        } else {
            Candidate { expires_at: Some(NOW + 1), ..before }
        };
        std::future::ready(after)
    })
    .await;
    assert_eq!((decision.outcome, order), (degraded(1, 2), vec!["a".to_owned(), "b".to_owned()]));

    // A credential that `refresh` returns unchanged is not refreshed again.
    let mut calls = 0;
    let decision = settle(&mut start.clone(), &attempt(request(None), budget), |_, before| {
        calls += 1;
        std::future::ready(before)
    })
    .await;
    assert_eq!((decision.outcome, calls), (degraded(0, 2), 2));

    let mut candidates = start[1..].to_vec();
    let decision =
        settle(&mut candidates, &attempt(request(None), Duration::ZERO), |_, _| std::future::pending()).await;
    assert_eq!(decision.outcome, Outcome::RefreshFailed { candidate: 1, retry_at: None });
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let source = prop_oneof![
        Just(Source::Bundle),
        Just(Source::User),
        Just(Source::Ephemeral),
        Just(Source::Declared)
    ];
    let model =
        prop_oneof![Just(Model::Any), Just(Model::Only("opus".into())), Just(Model::Only("x".into()))];
    let state = prop_oneof![
        4 => Just(State::Found),
        1 => Just(State::Refused),
        1 => Just(State::NeedsReauth("gone".into())),
        1 => Just(unavailable("gone")),
        1 => Just(State::Ambient),
        1 => Just(State::Unfit(Unfit::Another)),
    ];
    let ends = prop_oneof![Just(None), (NOW - 3..NOW + 20).prop_map(Some), any::<i64>().prop_map(Some)];
    let renewal = prop_oneof![
        Just(Renewability::None),
        Just(Renewability::Possible),
        (NOW - 2..NOW + 2).prop_map(|until| Renewability::Waiting { until }),
        Just(tried()),
        Just(Renewability::Tried { failed: None, retry_at: None }),
        Just(Renewability::Person("dead".into())),
    ];
    (source, model, 0..3_i64, state, ends, renewal, "[a-z]{6}").prop_map(
        |(source, model, position, state, expires_at, renewal, id)| Candidate {
            model,
            position,
            state,
            expires_at,
            renewal,
            ..live(source, &id)
        },
    )
}

fn question() -> impl Strategy<Value = Request> {
    let model = prop_oneof![Just(None), Just(Some("opus".to_owned())), Just(Some("haiku".to_owned()))];
    (model, any::<bool>(), -1..30_i64).prop_map(|(model, any_model, min_ttl)| Request {
        model,
        any_model,
        min_ttl,
        ..request(None)
    })
}

proptest! {
    #[test]
    fn resolution_outcome_is_unchanged_when_lower_candidate_is_added(
        candidates in prop::collection::vec(candidate(), 0..8),
        below in candidate(),
        question in question(),
    ) {
        let before = decide(&candidates, &question);
        if let Some(chosen) = before.outcome.chosen() {
            let weakest = Candidate {
                source: Source::Declared, position: i64::MAX, model: candidates[chosen].model.clone(), ..below
            };
            let ranked = (&candidates[chosen].source, candidates[chosen].position) < (&weakest.source, weakest.position);
            if ranked {
                let more: Vec<Candidate> = candidates.iter().cloned().chain([weakest]).collect();
                prop_assert_eq!(decide(&more, &question).outcome, before.outcome);
            }
        }
    }

    #[test]
    fn resolution_chooses_same_fit_candidate_when_list_is_reversed(
        candidates in prop::collection::vec(candidate(), 0..8),
        question in question(),
    ) {
        let decision = decide(&candidates, &question);
        prop_assert_eq!(decision.trace.len(), candidates.len());
        let chosen = decision.outcome.chosen();
        for (at, verdict) in decision.trace.iter().enumerate() {
            let says = matches!(verdict, Verdict::Chosen | Verdict::RefreshedFirst);
            prop_assert_eq!(says, Some(at) == chosen);
            prop_assert!(chosen.is_some() || *verdict != Verdict::Outranked);
        }
        if let Outcome::Use { chosen, .. } = decision.outcome {
            let used = &candidates[chosen];
            prop_assert_eq!(&used.state, &State::Found);
            prop_assert!(used.expires_at.is_none_or(|ends| ends > NOW));
        }
        let reversed: Vec<Candidate> = candidates.iter().rev().cloned().collect();
        let mirrored = decide(&reversed, &question).outcome.chosen().map(|at| &reversed[at]);
        prop_assert_eq!(mirrored.map(|one| &one.id), chosen.map(|at| &candidates[at].id));
    }

    #[test]
    fn settle_ends_and_refreshes_no_candidate_twice(
        candidates in prop::collection::vec(candidate(), 0..8),
        question in question(),
        renewed in any::<bool>(),
    ) {
        let mut now = candidates.clone();
        let mut refreshed = Vec::new();
        let attempt = attempt(question, Duration::from_mins(1));
        let work = settle(&mut now, &attempt, |_, before: Candidate| {
            refreshed.push(before.id.clone());
            std::future::ready(if renewed { Candidate { expires_at: Some(NOW + 5), ..before } } else { before })
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let decision = runtime.block_on(work);
        prop_assert!(!matches!(decision.outcome, Outcome::RefreshFirst(_)));
        let once: std::collections::BTreeSet<&String> = refreshed.iter().collect();
        prop_assert_eq!(once.len(), refreshed.len());
    }
}

#[tokio::test]
async fn settle_runs_the_chosen_command_once_and_considers_the_next_when_it_fails() {
    let command = |id: &str, position| Candidate {
        position,
        credential: Credential::Command(crate::launch::candidate::KeyCommand::Declared(vec!["/x".into()])),
        ..live(Source::Declared, id)
    };
    let mut candidates = [command("a", 0), command("b", 1)];
    let mut run = Vec::new();
    let decision = settle(&mut candidates, &attempt(request(None), Duration::ZERO), |action, before| {
        assert_eq!(action, Action::ReadKey);
        run.push(before.id.clone());
        let after = match before.id.as_str() {
            "a" => Candidate { state: unavailable("it failed"), credential: Credential::Absent, ..before },
            _ => Candidate { credential: Credential::Key("printed".into()), ..before },
        };
        std::future::ready(after)
    })
    .await;
    assert_eq!((decision.outcome, run), (degraded(1, 0), vec!["a".to_owned(), "b".to_owned()]));
}

#[test]
fn credential_that_no_program_takes_hides_none_below_it() {
    let token = Candidate { not_taken: Some("only its own logins"), ..user("token") };
    let key = live(Source::Declared, "key");
    let decision = decide(&[token.clone(), key], &request(None));
    assert_eq!(decision.outcome.chosen(), Some(1));
    assert_eq!(decision.trace[0], Verdict::NotTaken("only its own logins"));
    // A token that has expired is reported as expired.
    let expired = Candidate { expires_at: Some(1), ..token };
    assert_eq!(decide(&[expired], &request(None)).trace[0], Verdict::Expired);
}
