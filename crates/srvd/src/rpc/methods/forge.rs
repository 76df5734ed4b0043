//! `forge.*`.

use rpc_engine::Call;

use crate::adapter::credential::on_socket;
use crate::adapter::service::audited;
use crate::rpc::app::App;
use crate::rpc::errors;
use crate::wire::error::ApiError;
use crate::wire::forge::{
    Answer, BranchList, Branches, CreatePull, GetRepo, HttpMethod, IssueList, Issues, ListWatched, Person,
    Pull, PullList, Pulls, Repo, RepoPage, Repos, Request, Unwatch, Unwatched, Watch, Watched, WatchedList,
    WhoAmI,
};
use crate::wire::forge_credential::{AfterRejection, CredentialAnswer, GetCredential, Rejected};
use crate::wire::scope::ADMIN;

/// `forge.whoami`.
pub(crate) async fn whoami(app: App, _: Call, _: WhoAmI) -> Result<Person, ApiError> {
    app.adapters.whoami(&app.store).await
}

/// `forge.repos`.
pub(crate) async fn repos(app: App, _: Call, params: Repos) -> Result<RepoPage, ApiError> {
    app.adapters.repos(&app.store, params).await
}

/// `forge.repo`.
pub(crate) async fn repo(app: App, _: Call, params: GetRepo) -> Result<Repo, ApiError> {
    app.adapters.repo(&app.store, &params.repo).await
}

/// `forge.branches`.
pub(crate) async fn branches(app: App, _: Call, params: Branches) -> Result<BranchList, ApiError> {
    app.adapters.branches(&app.store, &params.repo).await
}

/// `forge.pulls`.
pub(crate) async fn pulls(app: App, _: Call, params: Pulls) -> Result<PullList, ApiError> {
    app.adapters.pulls(&app.store, &params.repo).await
}

/// `forge.createpull`.
pub(crate) async fn create_pull(app: App, _: Call, params: CreatePull) -> Result<Pull, ApiError> {
    let made = app.adapters.create_pull(&app.store, &params).await;
    app.note("forge.createpull", params.repo.chars().take(300).collect(), outcome(&made), None);
    made
}

/// `forge.issues`.
pub(crate) async fn issues(app: App, _: Call, params: Issues) -> Result<IssueList, ApiError> {
    app.adapters.issues(&app.store, &params.repo).await
}

/// `forge.request`.
pub(crate) async fn request(app: App, call: Call, params: Request) -> Result<Answer, ApiError> {
    if params.method != HttpMethod::Get {
        errors::require(&call, Some(ADMIN))?;
    }
    let answer = app.adapters.request(&app.store, &params).await;
    let status = answer.as_ref().ok().map(|answer| format!("status {}", answer.status));
    app.note("forge.request", audited(&params), outcome(&answer), status);
    answer
}

/// `forge.watch`.
pub(crate) async fn watch(app: App, _: Call, params: Watch) -> Result<Watched, ApiError> {
    Box::pin(app.adapters.watch(&app.store, &params.repo)).await
}

/// `forge.unwatch`.
pub(crate) async fn unwatch(app: App, _: Call, params: Unwatch) -> Result<Unwatched, ApiError> {
    app.adapters.unwatch(&app.store, &params.repo).await
}

/// `forge.watched`.
pub(crate) async fn watched(app: App, _: Call, _: ListWatched) -> Result<WatchedList, ApiError> {
    app.adapters.watched(&app.store).await
}

/// `forge.credential`.
pub(crate) async fn credential(
    app: App,
    call: Call,
    params: GetCredential,
) -> Result<CredentialAnswer, ApiError> {
    on_socket(&call.caller)?;
    let purpose = if params.url.is_some() { "git" } else { "program" };
    let answer = app.adapters.credential(&app.store, params).await;
    let given = answer.as_ref().is_ok_and(|answer| answer.credential.is_some());
    app.note("forge.credential", purpose.to_owned(), if given { "ok" } else { "refused" }, None);
    answer
}

/// `forge.rejected`.
pub(crate) async fn rejected(app: App, call: Call, params: Rejected) -> Result<AfterRejection, ApiError> {
    on_socket(&call.caller)?;
    app.adapters.rejected(&app.store, params).await
}

fn outcome<T>(answer: &Result<T, ApiError>) -> &'static str {
    if answer.is_ok() { "ok" } else { "failed" }
}
