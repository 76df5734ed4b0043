//! The spelling of names: one form for each name, and no name that looks like another one.
//!
//! A new name is kept in Unicode's composed form (NFC), and its letters must come from one script, or from Latin with the
//! scripts of one East Asian language: the profile "highly restrictive" of UTS 39. Names that are stored already are
//! never refused.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;
use unicode_security::{RestrictionLevel, RestrictionLevelDetection as _};

/// Returns the composed form of a text.
pub(crate) fn composed(text: &str) -> String {
    text.nfc().collect()
}

/// Returns the reason why a composed text is no good as a new name.
pub(crate) fn flaw(text: &str) -> Option<&'static str> {
    if text.chars().any(is_invisible) {
        return Some("it has an invisible character");
    }
    if !has_one_script(text) {
        return Some("it mixes letters of several scripts, or has letters that look like others");
    }
    None
}

/// Returns a text that a program reported, such as an address, as it can be shown: unchanged, or with every character
/// that is not ASCII as its number.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) && flaw(&composed(text)).is_none() {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| match c {
        ' '..='~' => c.to_string(),
        _ => c.escape_unicode().to_string(),
    };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// Returns a form that is the same for two names that people can take for each other.
pub fn skeleton(name: &str) -> String {
    let lower = composed(&name.to_lowercase());
    unicode_security::confusable_detection::skeleton(&lower).collect()
}

/// Returns whether all letters and digits belong to the profile "highly restrictive". Spaces, punctuation and symbols
/// such as emoji are no part of the profile.
fn has_one_script(text: &str) -> bool {
    let letters: String = text.chars().filter(|c| c.is_alphanumeric() || is_mark(*c)).collect();
    letters.is_empty() || letters.as_str().check_restriction_level(RestrictionLevel::HighlyRestrictive)
}

fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c) && !matches!(c, '\u{fe00}'..='\u{fe0f}')
}

/// Returns whether a character shows nothing, or only changes how others are shown. A variation selector after a symbol
/// is part of an emoji.
pub fn is_invisible(c: char) -> bool {
    (c.is_whitespace() && c != ' ')
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_refused_when_it_can_be_taken_for_another() {
        let good = [
            "Work",
            "ada@example.test",
            "Codex (ada's) 2",
            "Ümläut",
            "Größe",
            "Работа",
            "工作 work",
            "日本語テスト",
            "한국어",
            "עבודה",
            "रोज़",
            "🚀 Work",
            "❤\u{fe0f} home",
            "a_b-c.d/e",
            "Ελλάδα 2",
        ];
        for name in good {
            assert_eq!(flaw(&composed(name)), None, "{name:?}");
            assert_eq!(shown(name), name);
        }
        let mixed = ["p\u{430}ypal", "\u{405}rvd", "w\u{3bf}rk", "ｗｏｒｋ", "𝐰𝐨𝐫𝐤", "ﬁle", "\u{3b1}\u{430}"];
        for name in mixed {
            assert_eq!(
                flaw(name),
                Some("it mixes letters of several scripts, or has letters that look like others"),
                "{name:?}"
            );
        }
        let invisible =
            ["wo\u{200b}rk", "\u{202e}krow", "a\u{a0}b", "a\u{3000}b", "\u{feff}a", "a\u{ad}b", "\u{3164}"];
        for name in invisible {
            assert_eq!(flaw(name), Some("it has an invisible character"), "{name:?}");
        }
        assert_eq!(shown("p\u{430}ypal"), "p\\u{430}ypal");
        assert_eq!(shown("a\u{202e}b\u{1b}"), "a\\u{202e}b\\u{1b}");
    }

    #[test]
    fn skeleton_is_equal_for_twins_only() {
        for (one, other, same) in [
            ("work", "Work", true),
            ("work", "w\u{43e}rk", true),
            ("e\u{301}cole", "\u{e9}cole", true),
            ("work", "home", false),
            ("work", "work 2", false),
        ] {
            assert_eq!(skeleton(one) == skeleton(other), same, "{one:?} {other:?}");
        }
    }
}
