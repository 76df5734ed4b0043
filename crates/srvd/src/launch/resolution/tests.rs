use std::sync::LazyLock;
use std::time::Duration;

use auth_spawner::Registry;
use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_000_000;

/// A valid credential of `claude` for any model.
fn live(source: Source, id: &str) -> Candidate {
    Candidate {
        id: id.to_owned(),
        source,
        provider: "claude".to_owned(),
        model: Model::Any,
        position: 0,
        secret: Secret::Found,
        expires_at: None,
        renewal: Renewal::None,
    }
}

fn user(id: &str) -> Candidate {
    live(Source::User, id)
}

fn declared() -> Candidate {
    live(Source::Declared, "declared:a:claude")
}

fn expired(candidate: Candidate, renewal: Renewal) -> Candidate {
    Candidate { expires_at: Some(NOW - 1), renewal, ..candidate }
}

fn only(candidate: Candidate, model: &str) -> Candidate {
    Candidate { model: Model::Only(model.to_owned()), ..candidate }
}

fn broken(candidate: Candidate) -> Candidate {
    Candidate { secret: Secret::Unavailable("it does not open".to_owned()), ..candidate }
}

fn asked(model: Option<&str>) -> Asked {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::builtin().unwrap());
    Asked::of(REGISTRY.provider("Claude-Code").unwrap(), model, &REGISTRY, NOW)
}

fn used(chosen: usize) -> Outcome {
    Outcome::Use { chosen, degraded_from: None }
}

fn degraded(chosen: usize, from: usize) -> Outcome {
    Outcome::Use { chosen, degraded_from: Some(from) }
}

fn tried() -> Renewal {
    Renewal::Tried { failed: Some("HTTP status 500".to_owned()), retry_at: Some(NOW + 5) }
}

/// The numbers are those of the acceptance cases.
#[test]
fn resolution_ranks_candidates_by_source_and_validity() {
    let check = |case: &str, candidates: &[Candidate], expect: Outcome| {
        let decision = decide(candidates, &asked(None));
        assert_eq!(decision.outcome, expect, "{case}: {:?}", decision.trace);
    };
    let ephemeral = || live(Source::Ephemeral, "ephemeral:a:claude");
    check("13 declared alone", &[declared()], used(0));
    check("14 nothing is left of what was removed", &[], Outcome::NoCredential);
    check("16 the user's own, whatever the order", &[declared(), ephemeral(), user("u")], used(2));
    check("16 nobody's", &[declared(), ephemeral()], used(1));
    check("17 expired, cannot renew", &[expired(user("u"), Renewal::None), declared()], degraded(1, 0));
    let refreshable = || expired(user("u"), Renewal::Possible);
    check("18 refreshed before falling back", &[refreshable(), declared()], Outcome::RefreshFirst(0));
    check("18 the refresh failed", &[expired(user("u"), tried()), declared()], degraded(1, 0));
    let waiting = |until| expired(user("u"), Renewal::Waiting { until });
    check("19 not due yet", &[waiting(NOW + 1), declared()], degraded(1, 0));
    check("19 due again", &[waiting(NOW), declared()], Outcome::RefreshFirst(0));
    check(
        "20 all expired",
        &[expired(user("u"), Renewal::None), expired(declared(), Renewal::None)],
        Outcome::AllExpired { retry_at: None },
    );
    check(
        "20 all expired, one of them for a while",
        &[expired(user("u"), Renewal::None), waiting(NOW + 9), waiting(NOW + 7)],
        Outcome::AllExpired { retry_at: Some(NOW + 7) },
    );
    check("21 a broken row hides nothing", &[broken(user("u")), declared()], degraded(1, 0));
    check("21 only broken rows", &[broken(user("u"))], Outcome::SecretUnavailable(0));
    let dead = || expired(user("u"), Renewal::Dead("invalid_grant".to_owned()));
    check("47 a dead refresh token", &[dead(), declared()], degraded(1, 0));
    check("47 and nothing else", &[broken(declared()), dead()], Outcome::NeedsReauth(1));
    let refused = Candidate { secret: Secret::Refused, ..user("u") };
    check("a key that its provider refused", &[refused.clone(), declared()], degraded(1, 0));
    check("a key that its provider refused, alone", &[refused], Outcome::NeedsReauth(0));
    check(
        "69 what passes by itself is said first",
        &[dead(), expired(user("v"), tried())],
        Outcome::RefreshFailed { candidate: 1, retry_at: Some(NOW + 5) },
    );
    let at = |id: &str, position| Candidate { position, ..user(id) };
    check("28 the primary of several accounts", &[at("a", 1), at("b", 0), at("c", 2)], used(1));
    check("a dead primary", &[at("a", 1), expired(at("b", 0), Renewal::None)], degraded(0, 1));
    let alive = Candidate { expires_at: Some(NOW + 1), renewal: Renewal::Dead("x".to_owned()), ..user("u") };
    check("a dead refresh token and a living access token", &[alive, declared()], used(0));
    let other = Candidate { provider: "codex".to_owned(), ..user("x") };
    check("another provider's", &[other], Outcome::NoCredential);
}

#[test]
fn resolution_prefers_exact_model_over_any_model() {
    let check = |case: &str, model: Option<&str>, candidates: &[Candidate], expect: Outcome| {
        let decision = decide(candidates, &asked(model));
        assert_eq!(decision.outcome, expect, "{case}: {:?}", decision.trace);
    };
    let opus = || only(user("z"), "opus");
    check("25 exact beats any", Some("opus"), &[user("a"), opus()], used(1));
    check("25 any beats another one", Some("haiku"), &[opus(), user("z")], used(1));
    check("25 the provider's prefix", Some("claude/opus"), &[user("a"), opus()], used(1));
    check("25 the prefix under an alias", Some("Claude-Code/opus"), &[user("a"), opus()], used(1));
    check("another provider's prefix is part of the name", Some("codex/opus"), &[user("a"), opus()], used(0));
    check("another model's only", Some("haiku"), &[opus()], Outcome::NoProfileForModel);
    check("no model is any model", Some("*"), &[opus()], used(0));
    check("no model at all", None, &[opus()], used(0));
    check("exact but dead", Some("opus"), &[user("a"), expired(opus(), Renewal::None)], degraded(0, 1));
    check("a declared one for all models", Some("haiku"), &[opus(), declared()], used(1));
    let any = Asked { any_model: true, ..asked(Some("haiku")) };
    assert_eq!(decide(&[opus()], &any).outcome, used(0));
    assert_eq!(decide(&[opus(), declared()], &any).outcome, used(1));
}

#[test]
fn resolution_requires_credential_to_outlast_min_ttl() {
    let check = |ends: Option<i64>, renewal: Renewal, min_ttl: i64, expect: Outcome| {
        let candidate = Candidate { expires_at: ends, renewal, ..user("u") };
        let request = Asked { min_ttl, ..asked(None) };
        assert_eq!(decide(&[candidate], &request).outcome, expect, "{ends:?} {min_ttl}");
    };
    let over = Outcome::AllExpired { retry_at: None };
    check(None, Renewal::None, i64::MAX, used(0));
    check(Some(NOW), Renewal::None, 0, over.clone());
    check(Some(NOW + 1), Renewal::None, 0, used(0));
    check(Some(NOW + 1), Renewal::None, -5, used(0));
    check(Some(NOW + 10), Renewal::None, 10, over.clone());
    check(Some(NOW + 11), Renewal::None, 10, used(0));
    check(Some(NOW + 10), Renewal::Possible, 10, Outcome::RefreshFirst(0));
    check(Some(NOW + 10), Renewal::Dead("x".to_owned()), 10, over.clone());
    check(Some(0), Renewal::None, 0, over.clone());
    check(Some(i64::MIN), Renewal::None, 0, over.clone());
    check(Some(i64::MAX - 1), Renewal::None, i64::MAX, over);
}

#[test]
fn resolution_gives_each_candidate_a_verdict() {
    let candidates = [
        Candidate { provider: "codex".to_owned(), ..user("x") },
        only(user("m"), "opus"),
        broken(user("b")),
        expired(Candidate { position: 1, ..user("e") }, Renewal::None),
        expired(Candidate { position: 2, ..user("f") }, tried()),
        declared(),
        live(Source::Ephemeral, "ephemeral:a:claude"),
    ];
    let decision = decide(&candidates, &asked(Some("haiku")));
    assert_eq!(decision.outcome, degraded(6, 2));
    let words: Vec<String> = decision.trace.iter().map(ToString::to_string).collect();
    assert_eq!(
        words,
        [
            "is another provider's",
            "is for another model",
            "it does not open",
            "has expired",
            "its refresh failed: HTTP status 500",
            "a stronger one is used",
            "is used",
        ]
    );
}

#[tokio::test]
async fn settle_refreshes_each_candidate_once_in_rank_order() {
    let budget = Duration::from_mins(1);
    let stale = |id: &str, position| expired(Candidate { position, ..user(id) }, Renewal::Possible);
    let start = [declared(), stale("b", 1), stale("a", 0)];

    let mut order = Vec::new();
    let mut candidates = start.clone();
    let decision = settle(&mut candidates, &asked(None), budget, |at, before| {
        order.push(at);
        // The first one fails, the second one is renewed.
        let after = if at == 2 {
            Candidate { renewal: tried(), ..before }
        } else {
            Candidate { expires_at: Some(NOW + 1), ..before }
        };
        std::future::ready(after)
    })
    .await;
    assert_eq!((decision.outcome, order), (degraded(1, 2), vec![2, 1]));

    // A credential that `refresh` returns unchanged is not refreshed again.
    let mut calls = 0;
    let decision = settle(&mut start.clone(), &asked(None), budget, |_, before| {
        calls += 1;
        std::future::ready(before)
    })
    .await;
    assert_eq!((decision.outcome, calls), (degraded(0, 2), 2));

    let mut candidates = start[1..].to_vec();
    let decision = settle(&mut candidates, &asked(None), Duration::ZERO, |_, _| std::future::pending()).await;
    assert_eq!(decision.outcome, Outcome::RefreshFailed { candidate: 1, retry_at: None });
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let source = prop_oneof![Just(Source::User), Just(Source::Ephemeral), Just(Source::Declared)];
    let provider = prop_oneof![4 => Just("claude"), 1 => Just("codex")];
    let model =
        prop_oneof![Just(Model::Any), Just(Model::Only("opus".into())), Just(Model::Only("x".into()))];
    let secret = prop_oneof![
        4 => Just(Secret::Found),
        1 => Just(Secret::Refused),
        1 => Just(Secret::Unavailable("gone".into())),
    ];
    let ends = prop_oneof![Just(None), (NOW - 3..NOW + 20).prop_map(Some), any::<i64>().prop_map(Some)];
    let renewal = prop_oneof![
        Just(Renewal::None),
        Just(Renewal::Possible),
        (NOW - 2..NOW + 2).prop_map(|until| Renewal::Waiting { until }),
        Just(tried()),
        Just(Renewal::Tried { failed: None, retry_at: None }),
        Just(Renewal::Dead("dead".into())),
    ];
    (source, provider, model, 0..3_i64, secret, ends, renewal, "[a-z]{6}").prop_map(
        |(source, provider, model, position, secret, expires_at, renewal, id)| Candidate {
            id,
            source,
            provider: provider.to_owned(),
            model,
            position,
            secret,
            expires_at,
            renewal,
        },
    )
}

fn question() -> impl Strategy<Value = Asked> {
    let model = prop_oneof![Just(None), Just(Some("opus".to_owned())), Just(Some("haiku".to_owned()))];
    (model, any::<bool>(), -1..30_i64).prop_map(|(model, any_model, min_ttl)| Asked {
        model,
        any_model,
        min_ttl,
        ..asked(None)
    })
}

/// The candidate that an outcome names as the one to use.
fn pick(outcome: &Outcome) -> Option<usize> {
    match outcome {
        Outcome::Use { chosen, .. } => Some(*chosen),
        Outcome::RefreshFirst(at) => Some(*at),
        _ => None,
    }
}

proptest! {
    #[test]
    fn resolution_outcome_is_unchanged_when_lower_candidate_is_added(
        candidates in prop::collection::vec(candidate(), 0..8),
        below in candidate(),
        question in question(),
    ) {
        let before = decide(&candidates, &question);
        if let Some(chosen) = pick(&before.outcome) {
            let weakest = Candidate {
                source: Source::Declared, position: i64::MAX, model: candidates[chosen].model.clone(), ..below
            };
            let ranked = (candidates[chosen].source, candidates[chosen].position) < (weakest.source, weakest.position);
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
        let chosen = pick(&decision.outcome);
        for (at, verdict) in decision.trace.iter().enumerate() {
            let says = matches!(verdict, Verdict::Chosen | Verdict::RefreshedFirst);
            prop_assert_eq!(says, Some(at) == chosen);
            prop_assert!(chosen.is_some() || *verdict != Verdict::Outranked);
        }
        if let Outcome::Use { chosen, .. } = decision.outcome {
            let used = &candidates[chosen];
            prop_assert_eq!(&used.provider, "claude");
            prop_assert_eq!(&used.secret, &Secret::Found);
            prop_assert!(used.expires_at.is_none_or(|ends| ends > NOW));
        }
        let reversed: Vec<Candidate> = candidates.iter().rev().cloned().collect();
        let mirrored = pick(&decide(&reversed, &question).outcome).map(|at| &reversed[at]);
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
        let work = settle(&mut now, &question, Duration::from_mins(1), |at, before| {
            refreshed.push(at);
            std::future::ready(if renewed { Candidate { expires_at: Some(NOW + 5), ..before } } else { before })
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let decision = runtime.block_on(work);
        prop_assert!(!matches!(decision.outcome, Outcome::RefreshFirst(_)));
        let once: std::collections::BTreeSet<usize> = refreshed.iter().copied().collect();
        prop_assert_eq!(once.len(), refreshed.len());
    }
}
