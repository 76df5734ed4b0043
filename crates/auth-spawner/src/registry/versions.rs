//! Ranges of CLI versions, to which a recipe or a pattern of the registry applies.

use semver::{Version, VersionReq};
use serde::Deserialize;

/// A range of versions such as `>=2.26, <3`, in the syntax of Cargo's version requirements.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct VersionRange(VersionReq);

impl VersionRange {
    /// Returns whether a CLI that prints this version is in the range; `None` if the text is not a version.
    ///
    /// Only the leading numbers count, at most three: `1.0`, `2026.09.6` and `0.0.1790142911-g7618fb` are versions. A
    /// pre-release counts as the release that it precedes, because it behaves like it.
    #[must_use]
    pub fn holds(&self, version: &str) -> Option<bool> {
        parse(version).map(|version| self.0.matches(&version))
    }

    /// Returns whether the range applies to a CLI. An unknown version counts as inside.
    pub(crate) fn applies(range: Option<&Self>, version: Option<&str>) -> bool {
        range.zip(version).and_then(|(range, version)| range.holds(version)).unwrap_or(true)
    }
}

impl std::fmt::Display for VersionRange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

impl TryFrom<String> for VersionRange {
    type Error = semver::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        VersionReq::parse(&text).map(Self)
    }
}

/// Returns whether a version is newer than another one; `None` if one of the texts is not a version.
pub(crate) fn is_newer(version: &str, than: &str) -> Option<bool> {
    Some(parse(version)? > parse(than)?)
}

/// Returns whether a version is older than another one; `None` if one of the texts is no version.
pub(crate) fn is_older(version: &str, than: &str) -> Option<bool> {
    Some(parse(version)? < parse(than)?)
}

fn parse(text: &str) -> Option<Version> {
    let text = text.trim();
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let mut numbers = text[..end].split('.').map(|number| number.parse::<u64>().ok());
    let first = numbers.next().flatten()?;
    let mut next = || numbers.next().flatten().unwrap_or(0);
    Some(Version::new(first, next(), next()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_matches_semver_and_date_versions() {
        let check = |range: &str, version: &str, expected: Option<bool>| {
            let range = VersionRange::try_from(range.to_owned()).unwrap();
            assert_eq!(range.holds(version), expected, "{version} in {range}");
        };
        check(">=1", "1.6.0", Some(true));
        check("<1", "0.73.1", Some(true));
        check(">=2.26", "2.23.0", Some(false));
        check(">=2.26", "v2.40", Some(true));
        // OpenClaw: year, month, day, with or without leading zeros, and a suffix for a second release of a day.
        check(">=2026.9, <2027", "2026.09.6", Some(true));
        check(">=2026.9.6", "2026.9.6-2", Some(true));
        check("<2026.9.6", "2026.10.1", Some(false));
        // Amp: the seconds of its build, and a commit.
        check(">=0.0.1790142911", "0.0.1790142911-g7618fb", Some(true));
        check(">=0.0.1790712063", "0.0.1790142911-g7618fb", Some(false));
        check(">=2", "2.0.0-beta.1", Some(true));
        check(">=1", "unknown", None);
        check(">=1", "", None);
    }

    #[test]
    fn version_is_newer_only_when_both_texts_are_versions() {
        for (version, than, expected) in [
            ("1.0.42", "1.0.41", Some(true)),
            ("1.0.41", "1.0.41", Some(false)),
            ("0.73.1", "1.6.0", Some(false)),
            ("2026.10.1", "2026.9.6", Some(true)),
            ("0.0.1790712063", "0.0.1790142911-g7618fb", Some(true)),
            ("newest", "1.0", None),
        ] {
            assert_eq!(is_newer(version, than), expected, "{version} {than}");
        }
    }

    #[test]
    fn range_applies_when_the_version_is_unknown() {
        let range = VersionRange::try_from(">=2".to_owned()).unwrap();
        assert!(VersionRange::applies(Some(&range), None) && VersionRange::applies(Some(&range), Some("?")));
        assert!(
            VersionRange::applies(None, Some("1.0")) && !VersionRange::applies(Some(&range), Some("1.0"))
        );
    }

    #[test]
    fn range_is_rejected_when_it_is_not_a_version_requirement() {
        for text in ["", "new", ">=1 <2", "1..2"] {
            assert!(VersionRange::try_from(text.to_owned()).is_err(), "{text:?}");
        }
    }
}
