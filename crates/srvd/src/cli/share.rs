//! `srvd share`: the person's own setup in the homes of a bundle.

use super::client::Connection;
use super::failure::{Failure, code};
use super::list::Format;
use super::ui::{Ui, plain_line};
use super::{here, resolve, table};
use crate::base::environment::Environment;
use crate::config::Config;
use crate::wire::bundle;
use crate::wire::share::{Get, HomeShare, Set, Share, ShareFrom, ShareItem, ShareState};

/// Arguments of `srvd share`.
#[derive(Debug, clap::Args)]
pub(super) struct ShareArgs {
    /// Turn the sharing on or off; by default, show it
    #[arg(value_enum, default_value_t = Action::Show)]
    action: Action,
    /// The bundle, by id or name; by default, the one that this directory is bound to (see: srvd use)
    #[arg(long, short)]
    bundle: Option<String>,
    /// Take the setup from another bundle instead of your own directories
    #[arg(long, value_name = "BUNDLE")]
    from: Option<String>,
    /// Link the conversation history as well
    #[arg(long, conflicts_with = "no_history")]
    history: bool,
    /// Do not link the conversation history any more
    #[arg(long)]
    no_history: bool,
    #[command(flatten)]
    format: Format,
}

/// The actions of `srvd share`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Action {
    /// Share your setup with the bundle
    On,
    /// Remove what was shared
    Off,
    /// Show what is shared, and what is not
    Show,
}

impl ShareArgs {
    /// Returns the wanted source, without the id of a bundle; `None` to show the present one.
    fn wanted(&self) -> Result<Option<ShareFrom>, Failure> {
        let usage = |text: &str| Err(Failure::new(code::USAGE, text.to_owned()));
        match (self.action, &self.from) {
            (Action::On, Some(other)) => Ok(Some(ShareFrom::Other(other.clone()))),
            (Action::On, None) => Ok(Some(ShareFrom::Mine)),
            (Action::Off | Action::Show, Some(_)) => usage("--from belongs to: srvd share on"),
            (Action::Off, None) if self.history => usage("--history belongs to: srvd share on"),
            (Action::Off, None) => Ok(Some(ShareFrom::Nothing)),
            (Action::Show, None) if self.history || self.no_history => {
                usage("--history and --no-history belong to: srvd share on")
            }
            (Action::Show, None) => Ok(None),
        }
    }

    fn history(&self) -> Option<bool> {
        match self.action {
            Action::Off => Some(false),
            _ => (self.history || self.no_history).then_some(self.history),
        }
    }
}

/// Runs `srvd share`.
pub(super) async fn run(
    args: &ShareArgs,
    daemon: &Connection,
    environment: &Environment,
    config: &Config,
    ui: &Ui,
) -> Result<(), Failure> {
    let wanted = args.wanted()?;
    let bundle = here::choose(args.bundle.as_deref(), environment, config, ui)?.find(daemon).await?;
    let share = match wanted {
        None => daemon.call(&Get { bundle_id: bundle.id }).await?,
        Some(from) => {
            let share = match from {
                ShareFrom::Other(other) => resolve::existing(daemon, &other).await?,
                word => word.to_string(),
            };
            daemon.call(&Set { bundle_id: bundle.id, share, history: args.history() }).await?
        }
    };
    if args.format.json {
        return ui.json(&share);
    }
    let bundles = daemon.call(&bundle::List {}).await?.bundles;
    let name = |id: &str| {
        bundles.iter().find(|bundle| bundle.id == id).map_or(id.to_owned(), |found| found.name.clone())
    };
    ui.result(&headline(&share, name))?;
    for home in &share.homes {
        show(home, args.action == Action::Show, ui)?;
    }
    Ok(())
}

fn headline(share: &Share, name: impl Fn(&str) -> String) -> String {
    let bundle = plain_line(&name(&share.bundle_id));
    let history = if share.history { ", with the history" } else { "" };
    match &share.share {
        ShareFrom::Nothing => {
            format!("The bundle \"{bundle}\" shares nothing; turn it on with: srvd share on")
        }
        ShareFrom::Mine => format!("The bundle \"{bundle}\" shares your own setup{history}"),
        ShareFrom::Other(other) => {
            format!(
                "The bundle \"{bundle}\" shares the setup of the bundle \"{}\"{history}",
                plain_line(&name(other))
            )
        }
    }
}

fn show(home: &HomeShare, preview: bool, ui: &Ui) -> Result<(), Failure> {
    if let Some(problem) = &home.problem {
        ui.note(&format!("{}: {}", home.provider_id, plain_line(problem)));
    }
    if home.items.is_empty() {
        return Ok(());
    }
    let source = home.source.as_deref().map(|source| format!(", from {source}")).unwrap_or_default();
    ui.result("")?;
    ui.result(&plain_line(&format!("{}{source}", home.provider_id)))?;
    ui.result(&table::draw(ui, &["FILE", "STATE", "DETAIL"], home.items.iter().flat_map(rows)))?;
    if preview && home.changes > 0 {
        ui.note(&format!("{}: the next launch makes {} changes", home.provider_id, home.changes));
    }
    Ok(())
}

fn rows(item: &ShareItem) -> Vec<Vec<String>> {
    let (state, detail) = match &item.state {
        ShareState::Linked => ("linked", item.target.clone().unwrap_or_default()),
        ShareState::Copied => ("copied", String::new()),
        ShareState::Merged => ("merged", item.members.join(", ")),
        ShareState::LeftOut => ("left out", item.reason.clone().unwrap_or_default()),
        ShareState::Other(word) => (word.as_str(), String::new()),
    };
    let first = vec![item.path.clone(), state.to_owned(), detail];
    let parts = item
        .left_out
        .iter()
        .map(|left| vec![String::new(), "left out".to_owned(), format!("{}: {}", left.place, left.reason)]);
    std::iter::once(first).chain(parts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::share::ShareLeftOut;

    fn args(action: Action) -> ShareArgs {
        ShareArgs {
            action,
            bundle: None,
            from: None,
            history: false,
            no_history: false,
            format: Format::default(),
        }
    }

    #[test]
    fn source_follows_the_action_and_its_options() {
        let from = |action| ShareArgs { from: Some("other".to_owned()), ..args(action) };
        assert_eq!(args(Action::On).wanted(), Ok(Some(ShareFrom::Mine)));
        assert_eq!(from(Action::On).wanted(), Ok(Some(ShareFrom::Other("other".to_owned()))));
        assert_eq!(args(Action::Off).wanted(), Ok(Some(ShareFrom::Nothing)));
        assert_eq!(args(Action::Show).wanted(), Ok(None));
        for wrong in
            [from(Action::Off), from(Action::Show), ShareArgs { history: true, ..args(Action::Show) }]
        {
            assert_eq!(wrong.wanted().unwrap_err().code(), code::USAGE);
        }
        assert_eq!(args(Action::On).history(), None);
        assert_eq!(ShareArgs { history: true, ..args(Action::On) }.history(), Some(true));
        assert_eq!(ShareArgs { no_history: true, ..args(Action::On) }.history(), Some(false));
        assert_eq!(args(Action::Off).history(), Some(false));
    }

    #[test]
    fn item_is_shown_with_every_place_that_is_left_out() {
        let item = ShareItem {
            path: "settings.json".to_owned(),
            state: ShareState::Copied,
            target: None,
            members: Vec::new(),
            reason: None,
            left_out: vec![ShareLeftOut {
                place: "env.KEY".to_owned(),
                reason: "it holds a credential".to_owned(),
            }],
        };
        assert_eq!(
            rows(&item),
            [["settings.json", "copied", ""], ["", "left out", "env.KEY: it holds a credential"]]
        );
        let left = ShareItem {
            state: ShareState::LeftOut,
            reason: Some("why".to_owned()),
            left_out: Vec::new(),
            ..item
        };
        assert_eq!(rows(&left), [["settings.json", "left out", "why"]]);
    }

    #[test]
    fn headline_names_the_source() {
        let share =
            |from| Share { bundle_id: "b1".to_owned(), share: from, history: true, homes: Vec::new() };
        let name = |id: &str| format!("<{id}>");
        assert!(headline(&share(ShareFrom::Nothing), name).contains("\"<b1>\" shares nothing"));
        assert!(headline(&share(ShareFrom::Mine), name).ends_with("your own setup, with the history"));
        assert!(headline(&share(ShareFrom::Other("b2".to_owned())), name).contains("the bundle \"<b2>\""));
    }
}
