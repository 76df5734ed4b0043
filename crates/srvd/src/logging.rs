//! The log: text or JSON on standard error, filtered, without secrets.

use std::fmt;

use rpc_engine::calling;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::{DefaultFields, Format, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Config, LogFormat};
use crate::redact::Redactor;

/// Crates that print whole messages or statements below `info`, however the filter is set: keys would be among them.
const CAPPED: &[&str] = &["tungstenite", "tokio_tungstenite", "hyper", "hyper_util", "sqlx", "rustls", "h2"];

/// Starts the log. Called once in a process; a second call changes nothing.
///
/// # Errors
/// The filter's own words when it cannot be read.
pub fn start(config: &Config, redactor: &Redactor) -> Result<(), ParseError> {
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter(&config.log)?).with_writer(redactor.stderr());
    // A subscriber that is there already, as in tests that run in one process, keeps its place.
    let _ = match config.log_format {
        LogFormat::Text => {
            let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder
                .with_ansi(terminal)
                .with_target(false)
                .fmt_fields(NamingCall(DefaultFields::new()))
                .try_init()
        }
        LogFormat::Json => builder
            .fmt_fields(JsonFields::new())
            .event_format(NamingCall(Format::default().json().flatten_event(true).with_span_list(false)))
            .try_init(),
    };
    // A panic's message may quote what it was working on, so only its place is logged.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a task panicked");
    }));
    Ok(())
}

/// Puts the call that a line belongs to where a span would stand.
struct NamingCall<F>(F);

impl<'w> FormatFields<'w> for NamingCall<DefaultFields> {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        if let Some(calling) = calling() {
            write!(writer, "{calling}: ")?;
        }
        self.0.format_fields(writer, fields)
    }
}

impl<S, N> FormatEvent<S, N> for NamingCall<Format<Json>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(calling) = calling() else { return self.0.format_event(context, writer, event) };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let object = line.trim_end().strip_suffix('}').ok_or(fmt::Error)?;
        let span = serde_json::json!({
            "name": "call",
            "method": calling.method,
            "request": calling.request,
            "connection": calling.connection.0,
        });
        writeln!(writer, r#"{object},"span":{span}}}"#)
    }
}

fn filter(text: &str) -> Result<EnvFilter, ParseError> {
    let mut filter = EnvFilter::try_new(text)?;
    for name in CAPPED {
        filter = filter.add_directive(format!("{name}=info").parse()?);
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn talkative_crates_are_capped_in_every_filter() {
        for text in ["trace", "tungstenite=trace", "sqlx=trace,debug"] {
            let text = filter(text).unwrap().to_string();
            for name in CAPPED {
                assert!(text.contains(&format!("{name}=info")), "{text}");
                assert!(!text.contains(&format!("{name}=trace")), "{text}");
            }
        }
        assert!(filter("no such=level=at all").is_err());
    }
}
