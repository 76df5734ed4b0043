//! The table of bundles by providers, fitted to the width of the terminal.

use crate::cli::list::who;
use crate::cli::table;
use crate::cli::ui::{Screen, Ui, plain_line};
use crate::cli::vocabulary::{State, credential};
use crate::wire::account::Account;
use crate::wire::bundle::{Binding, Bundle};

/// The content of the table for one account of a bundle.
struct Cell<'a> {
    mark: &'static str,
    account: Option<&'a Account>,
    binding: &'a Binding,
    now: i64,
}

impl Cell<'_> {
    fn age(&self) -> String {
        match self.account.and_then(|account| account.checked_at) {
            Some(at) => table::when(Some(at.min(self.now.saturating_sub(1))), self.now),
            None => "never checked".to_owned(),
        }
    }

    /// Returns the account's name and the age of its status.
    fn name_and_age(&self) -> String {
        let who = self.account.map_or_else(|| self.binding.account_id.clone(), who);
        format!("{}, {}", plain_line(&who), self.age())
    }

    fn full(&self) -> String {
        format!("{} {}", self.mark, self.name_and_age())
    }

    fn short(&self) -> String {
        format!("{} {}", self.mark, self.age())
    }
}

/// Draws the table with a legend of the marks below. It has one column for each provider that occurs. Accounts' names
/// are shown if there is room. If even the marks do not fit, a list is drawn.
pub(super) fn draw<'a>(bundles: &'a [Bundle], accounts: &'a [Account], ui: &Ui, now: i64) -> String {
    let mut providers: Vec<&str> = bundles.iter().flat_map(|bundle| &bundle.bindings).map(provider).collect();
    providers.sort_unstable();
    providers.dedup();
    let cell = |binding: &'a Binding| Cell {
        mark: state(binding, accounts).symbol.text(ui),
        account: account(binding, accounts),
        binding,
        now,
    };
    let shown = || bundles.iter().filter(|bundle| !bundle.is_blank);
    let wide = |say: fn(&Cell<'a>) -> String| {
        let header: Vec<String> = std::iter::once("BUNDLE".to_owned())
            .chain(providers.iter().map(|id| id.to_uppercase()))
            .collect();
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let rows = shown().map(|bundle| {
            let of = |id: &&str| bundle.bindings.iter().find(|binding| binding.provider_id == *id);
            let cells =
                providers.iter().map(|id| of(id).map_or_else(|| "-".to_owned(), |found| say(&cell(found))));
            std::iter::once(bundle.name.clone()).chain(cells).collect()
        });
        table::draw(&Ui { stdout: None, ..*ui }, &header, rows)
    };
    let fits = |text: &String| {
        let width = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
        ui.stdout.is_none_or(|screen| width <= usize::from(screen.columns))
    };
    let list = || {
        let longest = providers.iter().map(|id| id.len()).max().unwrap_or_default();
        let entries = shown().map(|bundle| {
            let lines = bundle.bindings.iter().map(|binding| {
                let cell = cell(binding);
                format!("\n  {} {:longest$}  {}", cell.mark, binding.provider_id, cell.name_and_age())
            });
            let lines: String = if bundle.bindings.is_empty() { "\n  -".to_owned() } else { lines.collect() };
            format!("{}{lines}", plain_line(&bundle.name))
        });
        entries.collect::<Vec<_>>().join("\n")
    };
    let drawn = Some(wide(Cell::full)).filter(fits).or_else(|| Some(wide(Cell::short)).filter(fits));
    format!("{}\n{}", drawn.unwrap_or_else(list), legend(bundles, accounts, ui))
}

fn provider(binding: &Binding) -> &str {
    &binding.provider_id
}

fn account<'a>(binding: &Binding, accounts: &'a [Account]) -> Option<&'a Account> {
    accounts.iter().find(|account| account.id == binding.account_id)
}

fn state(binding: &Binding, accounts: &[Account]) -> State {
    credential(&binding.status, account(binding, accounts).map(|account| &account.kind))
}

/// Returns the marks that occur and their meanings.
fn legend(bundles: &[Bundle], accounts: &[Account], ui: &Ui) -> String {
    let bindings = bundles.iter().flat_map(|bundle| &bundle.bindings);
    let mut marks: Vec<String> = bindings.map(|binding| state(binding, accounts).draw(ui)).collect();
    marks.sort_unstable();
    marks.dedup();
    let line = marks.join("   ");
    // A legend that is too long for one line has one mark on each line.
    let fits = |screen: Screen| line.chars().count() <= usize::from(screen.columns);
    if ui.stdout.is_none_or(fits) { line } else { marks.join("\n") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::list::tests::{account, bundle};
    use crate::cli::table::tests::ui;
    use crate::wire::Status;

    const NOW: i64 = 10_000_000;

    fn world() -> (Vec<Bundle>, Vec<Account>) {
        let mut accounts = Vec::new();
        let mut make = |id: &str, provider: &str, email: &str, status: Status, ago: Option<i64>| {
            let mut account = account(provider, Some(email), status.clone());
            account.id = id.to_owned();
            account.checked_at = ago.map(|ago| NOW - ago);
            accounts.push(account);
            Binding { provider_id: provider.to_owned(), account_id: id.to_owned(), status }
        };
        let mut work = bundle("work", "x", Status::Valid);
        work.bindings = vec![
            make("1", "claude", "ann@acme.test", Status::Valid, Some(120_000)),
            make("2", "codex", "ann@acme.test", Status::Expired, Some(7_200_000)),
        ];
        let mut home = bundle("home", "x", Status::Valid);
        home.bindings = vec![
            make("3", "codex", "a@b.c", Status::NeedsReauth, None),
            make("4", "gemini", "a@b.c", Status::Invalid, Some(-5)),
            make("5", "github", "a@b.c", Status::Unknown, Some(5_000)),
        ];
        let mut empty = bundle("spare", "x", Status::Valid);
        empty.bindings.clear();
        let blank = Bundle { is_blank: true, name: "Blank".to_owned(), ..empty.clone() };
        (vec![blank, home, empty, work], accounts)
    }

    fn check(ui: &Ui, expect: &str) {
        let (bundles, accounts) = world();
        assert_eq!(draw(&bundles, &accounts, ui, NOW), expect, "{ui:?}");
    }

    #[test]
    fn matrix_shows_names_and_ages_when_output_is_wide_or_no_terminal() {
        let (bundles, accounts) = world();
        let drawn = draw(&bundles, &accounts, &ui(None), NOW);
        assert_eq!(drawn, draw(&bundles, &accounts, &ui(Some(200)), NOW));
        let rows: Vec<Vec<&str>> = drawn
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .collect();
        assert_eq!(
            rows,
            [
                vec!["BUNDLE", "CLAUDE", "CODEX", "GEMINI", "GITHUB"],
                vec!["home", "-", "! a@b.c, never checked", "✗ a@b.c, 0 s ago", "? a@b.c, 5 s ago"],
                vec!["spare", "-", "-", "-", "-"],
                vec!["work", "✓ ann@acme.test, 2 min ago", "↻ ann@acme.test, 2 h ago", "-", "-"],
                vec![
                    "! needs you to log in",
                    "? unknown",
                    "↻ expired, renews automatically",
                    "✓ valid",
                    "✗ refused"
                ],
            ]
        );
    }

    #[test]
    fn matrix_omits_names_when_the_terminal_is_narrower() {
        check(
            &ui(Some(80)),
            "\
BUNDLE  CLAUDE       CODEX            GEMINI     GITHUB
home    -            ! never checked  ✗ 0 s ago  ? 5 s ago
spare   -            -                -          -
work    ✓ 2 min ago  ↻ 2 h ago        -          -
! needs you to log in
? unknown
↻ expired, renews automatically
✓ valid
✗ refused",
        );
    }

    #[test]
    fn matrix_becomes_an_ascii_list_when_the_terminal_is_narrow_without_unicode() {
        let old = Ui { unicode: false, ..ui(Some(40)) };
        check(
            &old,
            "\
home
  ! codex   a@b.c, never checked
  x gemini  a@b.c, 0 s ago
  ? github  a@b.c, 5 s ago
spare
  -
work
  + claude  ann@acme.test, 2 min ago
  ~ codex   ann@acme.test, 2 h ago
! needs you to log in
+ valid
? unknown
x refused
~ expired, renews automatically",
        );
    }
}
