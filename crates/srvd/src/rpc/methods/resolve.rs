//! `profile.best`.

use rpc_engine::Call;

use super::agent::{Effort, Layers, Subject};
use crate::base::clock::now;
use crate::launch::resolution::{Asked, Candidate, Decision, Outcome, Verdict};
use crate::rpc::app::App;
use crate::wire::error::ApiError;
use crate::wire::profile::{Best, Considered, Resolution};

/// `profile.best`.
pub async fn best(app: App, _: Call, params: Best) -> Result<Resolution, ApiError> {
    let subject = Subject::of(params.user_id.as_deref(), &params.agent_id)?;
    let provider = app.provider(&params.provider_id)?;
    let asked = Asked {
        min_ttl: i64::from(params.min_ttl_ms.unwrap_or(0)),
        any_model: params.any_model.unwrap_or(false),
        ..Asked::of(provider, params.model.as_deref(), &app.registry, now())
    };
    let effort = if params.dry_run.unwrap_or(false) { Effort::Look } else { Effort::Refresh };
    let mut layers = Layers::gather(&app, &subject, Some(provider)).await?;
    let decision = layers.choose(&app, &asked, effort).await;
    let at = layers.chosen(&decision, &provider.id)?;
    let chosen = &layers.candidates[at];
    Ok(Resolution {
        profile_id: chosen.id.clone(),
        account_id: layers.held[at].account.clone(),
        provider_id: chosen.provider.clone(),
        source: chosen.source.as_str().to_owned(),
        owner_id: layers.held[at].owner.clone(),
        generation: layers.held[at].generation,
        model: chosen.model.as_str().to_owned(),
        status: layers.status(at, &decision),
        expires_at: chosen.expires_at,
        refresh_first: matches!(decision.outcome, Outcome::RefreshFirst(_)).then_some(true),
        degraded_from: layers.degraded(&decision),
        trace: params.explain.unwrap_or(false).then(|| trace(&layers, &decision)),
    })
}

fn trace(layers: &Layers, decision: &Decision) -> Vec<Considered> {
    let considered = |(one, verdict): (&Candidate, &Verdict)| Considered {
        profile_id: one.id.clone(),
        provider_id: one.provider.clone(),
        source: one.source.as_str().to_owned(),
        model: one.model.as_str().to_owned(),
        chosen: matches!(verdict, Verdict::Chosen | Verdict::RefreshedFirst),
        reason: verdict.to_string(),
    };
    layers.candidates.iter().zip(&decision.trace).map(considered).collect()
}
