//! `srvd console`: opens the daemon's pages in the browser, and lists and ends their sessions.

use super::client::Connection;
use super::failure::{Failure, code};
use super::list::Format;
use super::login::browser::Opener;
use super::table;
use super::ui::{Ui, plain_line};
use crate::base::clock::now;
use crate::hint::Step;
use crate::wire::console::{End, List, Open, Session};

/// Arguments of `srvd console`.
#[derive(Debug, clap::Args)]
pub(super) struct ConsoleArgs {
    /// Print the URL and do not open a browser
    #[arg(long)]
    no_open: bool,
    /// List the browser sessions
    #[arg(long, conflicts_with_all = ["no_open", "end"])]
    list: bool,
    /// End a browser session, by id, or all of them with "all"
    #[arg(long, value_name = "ID", conflicts_with = "no_open")]
    end: Option<String>,
    #[command(flatten)]
    format: Format,
}

/// Opens the console, or manages its sessions.
pub(super) async fn console(
    args: ConsoleArgs,
    daemon: &Connection,
    opener: Opener,
    ui: &Ui,
) -> Result<(), Failure> {
    if let Some(id) = &args.end {
        return end(id, daemon, ui).await;
    }
    if args.list {
        return list(args.format, daemon, ui).await;
    }
    let root = daemon.endpoint.url.as_deref().and_then(page).ok_or_else(|| {
        Failure::new(code::USAGE, "the daemon does not listen on TCP, which a browser needs")
            .hint(Step::TurnTcpOn)
    })?;
    let offer = daemon.call(&Open {}).await?;
    let url = format!("{root}#code={}", offer.code);
    if args.format.json {
        return ui.json(&serde_json::json!({"url": url, "expiresAt": offer.expires_at}));
    }
    if !args.no_open && opener.start(&url).succeeded().await {
        return ui.result(&format!("The console is open in the browser: {root}"));
    }
    ui.note("Open this URL within a minute. It works once.");
    if let Some(port) = root.split(':').nth(2).and_then(|rest| rest.split('/').next()) {
        ui.note(&format!("From another machine, first run: ssh -L {port}:127.0.0.1:{port} <this machine>"));
    }
    ui.result(&url)
}

/// Returns the URL of the console, from the URL of the WebSocket.
fn page(socket: &str) -> Option<String> {
    let address = socket.strip_prefix("ws://")?.strip_suffix("/rpc")?;
    Some(format!("http://{address}/console/"))
}

async fn list(format: Format, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let listed = daemon.call(&List {}).await?;
    if format.json {
        return ui.json(&listed);
    }
    if listed.sessions.is_empty() {
        ui.note("No browser has a session. Start one with: srvd console");
        return Ok(());
    }
    let header = ["BROWSER", "STARTED", "USED", "ID"];
    ui.result(&table::draw(ui, &header, listed.sessions.iter().map(cells)))
}

fn cells(session: &Session) -> Vec<String> {
    vec![
        plain_line(&session.browser),
        table::when(Some(session.created_at), now()),
        table::when(Some(session.used_at), now()),
        session.id.clone(),
    ]
}

async fn end(id: &str, daemon: &Connection, ui: &Ui) -> Result<(), Failure> {
    let listed = daemon.call(&List {}).await?;
    let chosen: Vec<&Session> = listed
        .sessions
        .iter()
        .filter(|session| id == "all" || (!id.is_empty() && session.id.starts_with(id)))
        .collect();
    if id != "all" && chosen.len() != 1 {
        let reason =
            if chosen.is_empty() { "no session has this id" } else { "several sessions have this id" };
        return Err(Failure::new(code::FAILED, reason).hint(Step::ListConsoles));
    }
    for session in &chosen {
        daemon.call(&End { session_id: session.id.clone() }).await?;
    }
    ui.result(if chosen.len() == 1 { "The session was ended." } else { "The sessions were ended." })
}
