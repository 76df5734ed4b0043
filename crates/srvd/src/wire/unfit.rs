//! The reasons why a login is not the one that its CLI would use, in words, and the next steps.

use crate::hint::Step;
use auth_spawner::{Shadow, ShadowCause};

/// The reason why a login can no longer be renewed.
pub(crate) const REFUSED: &str = "its provider refused its refresh token";

/// The reason for a directory with a login of another person than the account's.
pub(crate) const ANOTHER_PERSON: &str = "its directory holds another person's login";

/// The end of the reason for a setting that takes the place of the login.
const IN_PLACE: &str = ", which its CLI uses in place of this login";
/// The end of the reason for a setting that takes the place of a key.
const IN_PLACE_OF_KEY: &str = ", which its CLI uses in place of the key";
/// The words between the file and the key of a [`Shadow`].
const SETS: &str = " sets ";
/// The words between the file and the reason of a [`Shadow`].
const UNREADABLE: &str = " cannot be read: ";
/// The end of the reason for a settings file that cannot be read.
const MAY_SET: &str = ", so it is not known which credential its CLI uses";

/// Returns the reason for a status, and for the refusal of a launch. It names the file and the key.
pub(crate) fn reason(shadow: &Shadow) -> String {
    match shadow.cause {
        ShadowCause::Set(_) => format!("{shadow}{IN_PLACE}"),
        ShadowCause::Unreadable(_) => format!("{shadow}{MAY_SET}"),
    }
}

/// Returns the reason for which a CLI does not use the key of a launch. It names the file and the key.
pub(crate) fn reason_for_key(shadow: &Shadow) -> String {
    match shadow.cause {
        ShadowCause::Set(_) => format!("{shadow}{IN_PLACE_OF_KEY}"),
        ShadowCause::Unreadable(_) => reason(shadow),
    }
}

/// Returns the next step for a reason that [`reason`] or [`reason_for_key`] made or that names a command; `None` for
/// another reason.
pub(crate) fn next_step(reason: &str) -> Option<Step> {
    let set = reason.strip_suffix(IN_PLACE).or_else(|| reason.strip_suffix(IN_PLACE_OF_KEY));
    if let Some((file, key)) = set.and_then(|text| text.rsplit_once(SETS)) {
        return Some(Step::RemoveSetting { key: key.to_owned(), file: file.to_owned() });
    }
    // The reason for a directory that other users can change ends with the command.
    if let Some((_, path)) = reason.split_once("; run: chmod go-w ") {
        // Earlier versions did not quote the path.
        let words = shell_words::split(path).ok();
        let quoted = words.filter(|words| words.len() == 1).and_then(|mut words| words.pop());
        return Some(Step::CloseDirectory { path: quoted.unwrap_or_else(|| path.to_owned()).into() });
    }
    let (file, _) = reason.strip_suffix(MAY_SET).and_then(|text| text.rsplit_once(UNREADABLE))?;
    Some(Step::CorrectFile { file: file.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_step_names_the_setting_to_remove_or_the_file_to_correct() {
        let check = |cause: ShadowCause, expected: &str| {
            let reason = reason(&Shadow { file: "/h/a sets b/settings.json".into(), cause });
            assert_eq!(
                next_step(&reason).map(|step| step.to_string()).as_deref(),
                Some(expected),
                "{reason}"
            );
        };
        let key = ShadowCause::Set("env.ANTHROPIC_API_KEY".to_owned());
        let of_key = reason_for_key(&Shadow { file: "/h/s.json".into(), cause: key.clone() });
        assert_eq!(of_key, "/h/s.json sets env.ANTHROPIC_API_KEY, which its CLI uses in place of the key");
        let step = next_step(&of_key).map(|step| step.to_string());
        assert_eq!(step.as_deref(), Some("remove env.ANTHROPIC_API_KEY from /h/s.json"));
        check(key, "remove env.ANTHROPIC_API_KEY from /h/a sets b/settings.json");
        let torn = ShadowCause::Unreadable("not JSON at line 1".to_owned());
        check(torn, "correct or remove /h/a sets b/settings.json");
        for (shown, typed) in
            [("/w/codex", "/w/codex"), ("'/w/my codex'", "'/w/my codex'"), ("/w/a b", "'/w/a b'")]
        {
            let open = format!("other users can change it (mode 0777); run: chmod go-w {shown}");
            let step = next_step(&open).map(|step| step.to_string());
            assert_eq!(step, Some(format!("chmod go-w {typed}")));
        }
        assert_eq!(next_step(ANOTHER_PERSON), None);
        assert_eq!(next_step("it has expired"), None);
    }
}
