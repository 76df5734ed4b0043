//! Judges whether the CLIs would use the logins of their accounts.

use auth_spawner::{Shadow, ShadowCause};

use crate::doctor::facts::{AskedIdentity, IdentityAnswer, StrayLogin};
use crate::doctor::finding::{Finding, Severity};
use crate::hint::Step;

/// The largest number of settings or accounts that a finding names.
const NAMED: usize = 5;

/// Returns the findings about settings that take the place of a login.
pub(super) fn shadows(shadows: &[(String, Shadow)]) -> Vec<Finding> {
    let of = |wanted: fn(&ShadowCause) -> bool| {
        let mut lines: Vec<String> = Vec::new();
        for (name, shadow) in shadows.iter().filter(|(_, shadow)| wanted(&shadow.cause)) {
            let line = format!("{name}: {shadow}");
            // A setting of the system is found once for each login.
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        (!lines.is_empty()).then(|| listed(&lines))
    };
    let set = of(|cause| matches!(cause, ShadowCause::Set(_))).map(|detail| {
        Finding::new(
            "login.shadowed",
            Severity::Error,
            "A setting takes the place of a login or a key",
            detail,
            "The CLI would use another credential, or another server, than that of the account. srvd does not start it \
             with this account.",
        )
        .fix(Step::RemoveOrLogInElsewhere)
    });
    let unreadable = of(|cause| matches!(cause, ShadowCause::Unreadable(_))).map(|detail| {
        Finding::new(
            "login.settings",
            Severity::Error,
            "A settings file of a CLI cannot be read",
            detail,
            "It may set another credential than the login of the account, so srvd does not start the CLI with it.",
        )
        .fix(Step::CorrectOrRemove)
    });
    set.into_iter().chain(unreadable).collect()
}

/// Returns the findings about the answers of the CLIs to the question whose logins they would use.
pub(super) fn asked(asked: &[AskedIdentity]) -> Vec<Finding> {
    let lines = |of: fn(&IdentityAnswer) -> Option<String>| {
        let line = |one: &AskedIdentity| {
            let text = of(&one.answer)?;
            Some(if text.is_empty() { one.account.clone() } else { format!("{}: {text}", one.account) })
        };
        let lines: Vec<String> = asked.iter().filter_map(line).collect();
        (!lines.is_empty()).then(|| listed(&lines))
    };
    let wrong = lines(|answer| match answer {
        IdentityAnswer::Wrong(reason) => Some(reason.clone()),
        _ => None,
    });
    let first_wrong = asked.iter().find(|one| matches!(one.answer, IdentityAnswer::Wrong(_)));
    let unclear = lines(|answer| match answer {
        IdentityAnswer::Unclear(reason) => Some(reason.clone()),
        IdentityAnswer::Late => Some("there was no time left to ask its CLI".to_owned()),
        _ => None,
    });
    let confirmed = lines(|answer| match answer {
        IdentityAnswer::Confirmed => Some(String::new()),
        IdentityAnswer::Unproven => Some("logged in, without the name of the person".to_owned()),
        _ => None,
    });
    let found = [
        wrong.zip(first_wrong).map(|(detail, first)| {
            Finding::new(
                "login.identity",
                Severity::Error,
                "A CLI would not use the login of its account",
                detail,
                "The CLI was asked in the environment of a launch.",
            )
            .fix(Step::LookForSetting {
                provider: first.provider.as_str().into(),
                bundle: first.bundle.as_str().into(),
            })
        }),
        unclear.map(|detail| {
            Finding::new(
                "login.identity-unclear",
                Severity::Warning,
                "A CLI did not say whose login it would use",
                detail,
                "This does not mean that the login is wrong.",
            )
            .fix(Step::CompareStatus)
        }),
        confirmed.map(|detail| {
            Finding::well(
                "login.identity-confirmed",
                "The CLIs would use the logins of their accounts",
                detail,
            )
        }),
    ];
    found.into_iter().flatten().collect()
}

/// Returns a finding for each login that belongs to no account, with the commands that bind it and remove it.
pub(super) fn strays(strays: &[StrayLogin]) -> Vec<Finding> {
    let one = |StrayLogin { provider, bundle, person }: &StrayLogin| {
        let whose = person.as_ref().map(|person| format!(" of {person}")).unwrap_or_default();
        Finding::new(
            format!("login.stray.{bundle}.{provider}"),
            Severity::Warning,
            format!("A login of {provider} in the bundle {bundle} belongs to no account"),
            format!("{provider}{whose}"),
            "It was made in a program of the bundle. srvd does not use it, and starts that program logged out.",
        )
        .fix(Step::KeepOrDiscardStray {
            provider: provider.as_str().into(),
            bundle: bundle.as_str().into(),
        })
    };
    strays.iter().map(one).collect()
}

fn listed(lines: &[String]) -> String {
    let mut shown: Vec<String> = lines.iter().take(NAMED).cloned().collect();
    if lines.len() > NAMED {
        shown.push(format!("and {} more", lines.len() - NAMED));
    }
    shown.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stray_login_is_named_with_the_commands_that_bind_and_remove_it() {
        let stray = |person: Option<&str>| StrayLogin {
            provider: "codex".to_owned(),
            bundle: "work".to_owned(),
            person: person.map(str::to_owned),
        };
        let found = strays(&[stray(Some("ann@a.test")), stray(None)]);
        assert_eq!(
            found.iter().map(|one| &*one.detail).collect::<Vec<_>>(),
            ["codex of ann@a.test", "codex"]
        );
        let fix = found[0].fix.as_ref().unwrap().to_string();
        for command in ["srvd account keep codex --bundle work", "srvd account discard codex --bundle work"] {
            assert!(fix.contains(command), "{fix}");
        }
    }

    #[test]
    fn shadow_is_named_once_with_file_and_key() {
        let one = |name: &str, cause| (name.to_owned(), Shadow { file: "/etc/x/m.json".into(), cause });
        let set = || ShadowCause::Set("apiKeyHelper".to_owned());
        let torn = ShadowCause::Unreadable("it is not a regular file".to_owned());
        let found = shadows(&[one("Claude Code", set()), one("Claude Code", set()), one("Codex", torn)]);
        let found: Vec<_> = found.iter().map(|one| (one.id.as_str(), one.detail.as_str())).collect();
        let expected = [
            ("login.shadowed", "Claude Code: /etc/x/m.json sets apiKeyHelper"),
            ("login.settings", "Codex: /etc/x/m.json cannot be read: it is not a regular file"),
        ];
        assert_eq!(found, expected);
        assert_eq!(shadows(&[]), []);
    }

    #[test]
    fn answer_of_a_cli_is_an_error_a_warning_or_well() {
        let answers = [
            IdentityAnswer::Confirmed,
            IdentityAnswer::Unproven,
            IdentityAnswer::Wrong("it says that it is not logged in".to_owned()),
            IdentityAnswer::Unclear("no answer".to_owned()),
            IdentityAnswer::Late,
        ];
        let all = answers.into_iter().enumerate().map(|(number, answer)| AskedIdentity {
            provider: "codex".to_owned(),
            bundle: "work".to_owned(),
            account: format!("account {number}"),
            answer,
        });
        let found = asked(&all.collect::<Vec<_>>());
        let found: Vec<_> = found.iter().map(|one| (one.severity, one.detail.as_str())).collect();
        let expected = [
            (Severity::Error, "account 2: it says that it is not logged in"),
            (Severity::Warning, "account 3: no answer; account 4: there was no time left to ask its CLI"),
            (Severity::Ok, "account 0; account 1: logged in, without the name of the person"),
        ];
        assert_eq!(found, expected);
    }
}
