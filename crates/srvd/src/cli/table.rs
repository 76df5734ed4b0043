//! Tables without borders, and texts for times.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};

use super::ui::{Ui, plain_line};

/// The header of a column with ids.
const ID: &str = "ID";

/// Draws a table for standard output. It is as wide as the terminal. Without a terminal it has its natural width.
pub(super) fn draw(ui: &Ui, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.to_vec());
    if let Some(screen) = ui.stdout {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(screen.columns);
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| plain_line(cell)).collect::<Vec<_>>());
    }
    for (column, name) in table.column_iter_mut().zip(header) {
        column.set_padding((0, 2));
        // An id is copied, so it is not broken into lines.
        if *name == ID {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// Formats a time relative to `now`, both in unix milliseconds: `in 3 h`, `2 d ago`; empty if there is no time.
pub(super) fn when(at: Option<i64>, now: i64) -> String {
    match at {
        None => String::new(),
        Some(at) if at >= now => format!("in {}", span(at - now)),
        Some(at) => format!("{} ago", span(now - at)),
    }
}

/// Formats a span of milliseconds in its largest whole unit.
pub(super) fn span(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::ui::{Screen, Seat};
    use super::*;

    /// Returns the `Ui` of a terminal with this width, or of no terminal.
    pub(crate) fn ui(columns: Option<u16>) -> Ui {
        let screen = columns.map(|columns| Screen { columns, rows: 50, styled: false });
        Ui { types: columns.is_some(), stdout: screen, stderr: screen, seat: Seat::Console, unicode: true }
    }

    #[test]
    fn table_aligns_columns_and_replaces_control_characters() {
        let rows =
            || [vec!["codex".to_owned(), "a\u{1b}[31m\nb".to_owned()], vec!["x".to_owned(), String::new()]];
        let expect = "PROVIDER  NAME\ncodex     a\u{fffd}[31m b\nx";
        assert_eq!(draw(&ui(None), &["PROVIDER", "NAME"], rows()), expect);
        assert_eq!(draw(&ui(Some(80)), &["PROVIDER", "NAME"], rows()), expect);
    }

    #[test]
    fn id_stays_in_one_line_when_the_terminal_is_narrow() {
        let id = "01a2319e-e345-72af-bf61-c02be48f974d";
        let row = vec!["a long name of an account".to_owned(), "and of bundles".to_owned(), id.to_owned()];
        let drawn = draw(&ui(Some(60)), &["ACCOUNT", "BUNDLES", "ID"], [row]);
        assert!(drawn.contains(id) && drawn.lines().all(|line| line.chars().count() <= 60), "{drawn}");
    }

    #[test]
    fn table_wraps_cells_when_the_terminal_is_narrow() {
        let drawn =
            draw(&ui(Some(20)), &["A", "B"], [vec!["one two three".to_owned(), "four five six".to_owned()]]);
        assert!(drawn.lines().all(|line| line.chars().count() <= 20), "{drawn}");
        assert_eq!(drawn.split_whitespace().count(), 8);
    }

    #[test]
    fn time_is_shown_in_its_largest_unit() {
        let check = |at: i64, expect: &str| assert_eq!(when(Some(at), 1_000_000), expect);
        check(1_000_000, "in 0 s");
        check(1_059_999, "in 59 s");
        check(1_060_000, "in 1 min");
        check(1_000_000 + 3_600_000, "in 1 h");
        check(1_000_000 + 3 * 86_400_000, "in 3 d");
        check(700_000, "5 min ago");
        assert_eq!(when(None, 0), "");
    }
}
