//! The time to find an agent's credential among those of very many users.

use std::ops::Range;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::launches::has_accounts;
use super::{Alone, count};
use crate::calls::Caller;
use crate::daemon::Home;
use crate::deadline::{FILL, ROW};
use crate::report::{Figure, Report, SRVD, progress};
use crate::servers::Running;

/// The number of providers for each user. The last one has tokens; the others have keys.
const PROVIDERS: usize = 5;
/// The number of identities at each provider.
const PEOPLE: usize = 2;
/// The number of profiles for one user and one agent.
const EACH: usize = PROVIDERS * PEOPLE;
/// The number of agents per user.
const AGENTS: usize = 2;
/// The number of calls before the first measured one.
const WARM: usize = 500;
/// The number of profiles stored between two progress reports.
const BATCH: usize = 2000;
/// The lifetime of a token that must not be refreshed during the measurement.
const LIFE: Duration = Duration::from_hours(1000);

/// Measures on both databases.
pub(crate) async fn measure(alone: &Alone, report: &mut Report) -> Result<()> {
    on(alone, report, "SQLite", &alone.home("profiles")?).await?;
    if let Some(url) = &alone.postgres {
        let home = alone.home("profiles-postgres")?.with_database(url);
        on(alone, report, "PostgreSQL", &home).await?;
    } else {
        report.left_out("PostgreSQL is not installed, so its rows are omitted.");
    }
    Ok(())
}

/// The method of a call, and a function that returns its parameters for a profile.
type Call = (&'static str, fn(usize) -> Value);

/// Measures with few profiles and then with many, to show whether the size of the table matters.
async fn on(alone: &Alone, report: &mut Report, database: &str, home: &Home) -> Result<()> {
    let mut stored = 0;
    for size in [alone.amount.profiles / 100, alone.amount.profiles] {
        let daemon = home.start().await?;
        let mut caller = home.connect().await?;
        let filled = fill(&mut caller, stored..size);
        let named = format!("{size} profiles, {database}");
        if report.attempt(&format!("{named}, stored"), SRVD, FILL, filled).await.is_none() {
            return Ok(());
        }
        stored = size;
        let calls: [(String, Call); 3] = [
            (format!("profile.best, {named}"), ("profile.best", best)),
            (format!("launch.resolve of a provider, {named}"), ("launch.resolve", best)),
            (format!("launch.resolve of all {EACH} of an agent, {named}"), ("launch.resolve", all)),
        ];
        for (row, call) in calls {
            let measured = spread(&daemon, &mut caller, size, alone.amount.calls, call);
            if let Some(figure) = report.attempt(&row, SRVD, ROW, measured).await {
                report.figure(&row, SRVD, figure, None);
            }
        }
    }
    Ok(())
}

/// Returns the user and agent that own the profile with this number.
fn owner(number: usize) -> (String, String) {
    let pair = number / EACH;
    (format!("user-{}", pair / AGENTS), format!("agent-{}", pair % AGENTS))
}

fn best(number: usize) -> Value {
    let (user, agent) = owner(number);
    json!({"userId": user, "agentId": agent, "providerId": format!("bench-{}", number % PROVIDERS)})
}

fn all(number: usize) -> Value {
    let (user, agent) = owner(number);
    json!({"userId": user, "agentId": agent})
}

/// Measures calls with widely spaced numbers, so that no page is cached just because of the previous call.
async fn spread(
    daemon: &Running,
    caller: &mut Caller,
    profiles: usize,
    runs: usize,
    (method, params): Call,
) -> Result<Figure> {
    let mut times = Vec::with_capacity(runs);
    let mut before = 0.0;
    for run in 0..WARM + runs {
        if run == WARM {
            before = daemon.process.cpu()?;
        }
        let params = params(run * 7919 % profiles);
        let wanted = if params["providerId"].is_string() { 1 } else { PROVIDERS };
        let begun = Instant::now();
        let found = caller.call(method, &params).await?;
        let time = begun.elapsed();
        ensure!(found["source"] == "user" || has_accounts(&found, wanted), "not the user's: {found}");
        if run >= WARM {
            times.push(time);
        }
    }
    let cpu = (daemon.process.cpu()? - before) / count(runs);
    Ok(Figure::spread(times).and(cpu, "us CPU"))
}

/// Stores the profiles with these numbers.
async fn fill(caller: &mut Caller, numbers: Range<usize>) -> Result<()> {
    for first in numbers.clone().step_by(BATCH) {
        let last = numbers.end.min(first + BATCH);
        caller.all(&(first..last).map(profile).collect::<Vec<_>>()).await?;
        progress(&format!("{last} of {} profiles stored", numbers.end));
    }
    Ok(())
}

fn profile(number: usize) -> (&'static str, Value) {
    let (user, agent) = owner(number);
    let provider = number % EACH / PEOPLE;
    let mut params = json!({
        "userId": user,
        "agentId": agent,
        "providerId": format!("bench-{provider}"),
        "email": format!("person-{}@bench.test", number % PEOPLE),
        "makePrimary": false,
    });
    if provider < PROVIDERS - 1 {
        params["apiKey"] = json!(format!("sk-bench-0123456789abcdef0123456789abcdef-{number:08}"));
    } else {
        params["tokens"] = tokens(number, LIFE);
    }
    ("profile.upsert", params)
}

/// Returns the tokens of an account, with this remaining lifetime.
pub(super) fn tokens(number: usize, life: Duration) -> Value {
    let ends = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() + life;
    json!({
        "accessToken": super::issuer::access(number),
        "refreshToken": super::issuer::refresh(number),
        "expiresAt": u64::try_from(ends.as_millis()).unwrap_or(u64::MAX),
    })
}
