//! The answer of a CLI about the limits of its login. What is not understood is unknown, and never a number.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde_json::Value;

use crate::registry::{QuotaLine, QuotaQuestion};

/// The limits of a login.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits {
    /// The name of the subscription, if the CLI tells it.
    pub plan: Option<String>,
    /// The windows, the shortest first as the CLI names them.
    pub windows: Vec<QuotaWindow>,
}

/// A limit of use within a window of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuotaWindow {
    /// The name of the window, such as `5h` or `7d:sonnet`.
    pub key: String,
    /// The length of the window, in seconds.
    pub seconds: Option<u32>,
    /// The used share, in percent.
    pub used_percent: u8,
    /// Time at which the window starts again, in Unix milliseconds.
    pub resets_at: Option<i64>,
}

/// Reads the answer of an app server.
pub(super) fn of_reply(reply: &Value) -> Result<Limits, String> {
    if let Some(message) = reply.pointer("/error/message").and_then(Value::as_str) {
        return Err(format!("its CLI failed: {}", super::line(message)));
    }
    let limits = reply.pointer("/result/rateLimits").filter(|limits| limits.is_object());
    let Some(limits) = limits else { return Err(UNREAD.to_owned()) };
    let windows: Vec<QuotaWindow> =
        ["primary", "secondary"].iter().filter_map(|name| window(&limits[name])).collect();
    if windows.is_empty() {
        return Err("its CLI tells no limits of this login".to_owned());
    }
    let plan = limits["planType"].as_str().map(super::line);
    Ok(Limits { plan, windows })
}

/// The reason for an answer that is not understood.
const UNREAD: &str = "the answer of its CLI is not understood";

fn window(value: &Value) -> Option<QuotaWindow> {
    let minutes = value["windowDurationMins"].as_u64().and_then(|minutes| u32::try_from(minutes).ok());
    Some(QuotaWindow {
        key: minutes.map_or_else(|| "limit".to_owned(), name),
        seconds: minutes.and_then(|minutes| minutes.checked_mul(60)),
        used_percent: percent(value["usedPercent"].as_f64()?)?,
        resets_at: value["resetsAt"].as_i64().and_then(|at| at.checked_mul(1000)),
    })
}

/// Returns the usual name of a window: whole days, or else whole hours.
fn name(minutes: u32) -> String {
    match minutes {
        _ if minutes.is_multiple_of(1440) && minutes > 1440 => format!("{}d", minutes / 1440),
        _ if minutes.is_multiple_of(60) => format!("{}h", minutes / 60),
        _ => format!("{minutes}min"),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked before the cast"
)]
fn percent(number: f64) -> Option<u8> {
    (0.0..=1000.0).contains(&number).then(|| number.round().min(100.0) as u8)
}

/// Reads the lines that a command printed. `now` is the current time, in Unix milliseconds.
pub(super) fn of_lines(question: &QuotaQuestion, printed: &[Vec<u8>], now: i64) -> Result<Limits, String> {
    let windows: Vec<QuotaWindow> = question
        .windows
        .iter()
        .filter_map(|line| printed.iter().find_map(|text| read(line, text, now)))
        .collect();
    if windows.is_empty() {
        return Err(UNREAD.to_owned());
    }
    Ok(Limits { plan: None, windows })
}

fn read(line: &QuotaLine, text: &[u8], now: i64) -> Option<QuotaWindow> {
    let text = text.trim_ascii_end();
    let found = line.pattern.captures(text)?;
    let group = |name: &str| found.name(name).map(|found| found.as_bytes());
    let used: f64 = std::str::from_utf8(group("used")?).ok()?.parse().ok()?;
    Some(QuotaWindow {
        key: line.key.clone(),
        seconds: Some(line.seconds),
        used_percent: percent(used)?,
        resets_at: group("resets").and_then(|text| time(std::str::from_utf8(text).ok()?, now)),
    })
}

/// Reads a time such as `Dec 3, 10:59am (UTC)` or `11pm (UTC)`. It has no year, so the next such time is meant; one that is
/// just over is also accepted, because the answer may be a moment old.
fn time(text: &str, now: i64) -> Option<i64> {
    let now = DateTime::<Utc>::from_timestamp_millis(now)?;
    let text = text.trim().strip_suffix("(UTC)")?.trim();
    let (day, clock) = match text.rsplit_once(", ") {
        Some((day, clock)) => (Some(day), clock),
        None => (None, text),
    };
    let clock = clock_of(clock)?;
    let earliest = now - TimeDelta::days(1);
    let at = |date: NaiveDate| date.and_time(clock).and_utc();
    let found = if let Some(day) = day {
        let date = |year: i32| NaiveDate::parse_from_str(&format!("{day} {year}"), "%b %d %Y").ok();
        (now.year() - 1..=now.year() + 1).filter_map(date).map(at).find(|at| *at >= earliest)?
    } else {
        let today = at(now.date_naive());
        if today < now { today + TimeDelta::days(1) } else { today }
    };
    Some(found.timestamp_millis())
}

/// Reads a clock time such as `11pm` or `10:59am`.
fn clock_of(text: &str) -> Option<NaiveTime> {
    let (digits, noon) = match (text.strip_suffix("am"), text.strip_suffix("pm")) {
        (Some(digits), _) => (digits, 0),
        (_, Some(digits)) => (digits, 12),
        _ => return None,
    };
    let (hour, minute) = digits.split_once(':').unwrap_or((digits, "0"));
    let (hour, minute): (u32, u32) = (hour.trim().parse().ok()?, minute.parse().ok()?);
    (1..=12).contains(&hour).then_some(())?;
    NaiveTime::from_hms_opt(hour % 12 + noon, minute, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    /// 2026-11-29 20:00:00 UTC.
    const NOW: i64 = 1_795_982_400_000;
    const HOUR: i64 = 3_600_000;

    fn claude(text: &str) -> Result<Limits, String> {
        let registry = Registry::builtin().unwrap();
        let question = registry.provider("claude").unwrap().cli.clone().unwrap().quota.unwrap();
        let lines: Vec<Vec<u8>> = text.lines().map(|line| line.as_bytes().to_owned()).collect();
        of_lines(&question, &lines, NOW)
    }

    /// The text of `claude -p /usage` of 2.1.332.
    #[test]
    fn limits_are_read_from_the_text_of_claude() {
        let text = "You are currently using your subscription to power your Claude Code usage\n\n\
            Current session: 42% used · resets Nov 29, 11pm (UTC)\n\
            Current week (all models): 61% used · resets Dec 3, 10am (UTC)\n\
            Current week (Sonnet only): 12% used · resets Dec 3, 10am (UTC)\n";
        let window = |key: &str, seconds, used_percent, resets_at| QuotaWindow {
            key: key.to_owned(),
            seconds: Some(seconds),
            used_percent,
            resets_at: Some(resets_at),
        };
        let week = NOW + 86 * HOUR;
        let expected = [
            window("5h", 18_000, 42, NOW + 3 * HOUR),
            window("7d", 604_800, 61, week),
            window("7d:sonnet", 604_800, 12, week),
        ];
        assert_eq!(claude(text).unwrap().windows, expected);
    }

    #[test]
    fn answer_without_numbers_is_unknown() {
        for text in [
            "",
            "You are currently using your subscription to power your Claude Code usage",
            "Current session: ?% used",
            "Current session: -4% used",
            "Current session: 4000% used",
        ] {
            assert_eq!(claude(text), Err(UNREAD.to_owned()), "{text}");
        }
        for reply in [
            serde_json::json!({}),
            serde_json::json!({"result": {}}),
            serde_json::json!({"result": {"rateLimits": {"primary": null, "secondary": null}}}),
            serde_json::json!({"result": {"rateLimits": {"primary": {"usedPercent": "many"}}}}),
            serde_json::json!({"error": {"message": "no"}}),
        ] {
            assert!(of_reply(&reply).is_err(), "{reply}");
        }
    }

    /// The answer of codex 0.171.
    #[test]
    fn limits_are_read_from_the_answer_of_codex() {
        let reply = serde_json::json!({"id": 2, "result": {"rateLimits": {
            "limitId": "codex", "planType": "plus",
            "primary": {"usedPercent": 42, "windowDurationMins": 300, "resetsAt": 1_795_986_000},
            "secondary": {"usedPercent": 5, "windowDurationMins": 10_080, "resetsAt": null},
        }}});
        let limits = of_reply(&reply).unwrap();
        assert_eq!(limits.plan.as_deref(), Some("plus"));
        let seen: Vec<(&str, u8, Option<i64>)> =
            limits.windows.iter().map(|one| (one.key.as_str(), one.used_percent, one.resets_at)).collect();
        assert_eq!(seen, [("5h", 42, Some(NOW + HOUR)), ("7d", 5, None)]);
    }

    #[test]
    fn time_without_a_year_is_the_next_one() {
        let check = |text: &str, now: i64, expected: Option<&str>| {
            let expected =
                expected.map(|text| DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis());
            assert_eq!(time(text, now), expected, "{text}");
        };
        check("Nov 29, 11pm (UTC)", NOW, Some("2026-11-29T23:00:00+00:00"));
        check("Jan 2, 12:05am (UTC)", NOW, Some("2027-01-02T00:05:00+00:00"));
        check("Nov 29, 7:59pm (UTC)", NOW, Some("2026-11-29T19:59:00+00:00"));
        check("12pm (UTC)", NOW, Some("2026-11-30T12:00:00+00:00"));
        check("9pm (UTC)", NOW, Some("2026-11-29T21:00:00+00:00"));
        check("Feb 29, 1am (UTC)", NOW, None);
        for text in ["", "soon", "11pm", "Nov 29, 11pm (Europe/Berlin)", "13pm (UTC)", "Nov 99, 1am (UTC)"] {
            check(text, NOW, None);
        }
    }
}
