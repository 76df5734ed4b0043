//! Judges the user's environment apart from srvd: variables, the user's own logins, and the keychain.

use crate::doctor::facts::{AdoptionState, LoginState, OwnLogin, Program, Role, System, Variable};
use crate::doctor::finding::{Finding, Severity};
use crate::hint::Step;

/// Returns the finding for a proxy or certificates that only this environment knows.
pub(super) fn network(unused: &[&'static str]) -> Option<Finding> {
    (!unused.is_empty()).then(|| {
        Finding::new(
            "network",
            Severity::Warning,
            "The proxy or the certificates of this environment are not used",
            unused.join(", "),
            "Logins, launches and the daemon's own requests go out directly. Behind a proxy they fail.",
        )
        .fix(Step::SetNetwork)
    })
}

pub(super) fn variables(variables: &[Variable]) -> Vec<Finding> {
    if variables.is_empty() {
        let title = "No variable in this environment overrides a login";
        return vec![Finding::well("environment", title, "")];
    }
    variables.iter().map(variable).collect()
}

fn variable(variable: &Variable) -> Finding {
    let heeded_by = match variable.heeded_by.as_slice() {
        [] => "Programs".to_owned(),
        names => names.join(", "),
    };
    let (severity, does) = match variable.role {
        Role::Credential => (
            Severity::Warning,
            "use the credential in the variable instead of their login, and its owner is charged",
        ),
        Role::Directory => (Severity::Note, "look for their login in the directory that the variable names"),
        Role::Override => (Severity::Note, "talk to another server or look for their login elsewhere"),
    };
    Finding::new(
        format!("environment.{}", variable.name),
        severity,
        format!("{} is set in this environment", variable.name),
        format!("used by: {heeded_by}"),
        format!("When they are started from here without srvd, these programs {does}. `srvd exec` removes the variable."),
    )
    .fix(Step::Unset { variable: variable.name.clone() })
}

pub(super) fn own_logins(logins: &[OwnLogin]) -> Vec<Finding> {
    logins.iter().map(own_login).collect()
}

fn own_login(login: &OwnLogin) -> Finding {
    let id = format!("own-login.{}", login.provider);
    let OwnLogin { name, directory, provider, .. } = login;
    match &login.state {
        LoginState::Good => {}
        LoginState::Unusable(reason) => {
            let detail = format!("{directory}: {reason}");
            // It is not known here how the CLI itself treats such files.
            let meaning = format!("srvd does not change them. Without srvd, {name} may still use them.");
            let title = format!("Your own files of {name} contain no login that srvd can take over");
            return Finding::new(id, Severity::Note, title, detail, meaning);
        }
        LoginState::Elsewhere { reason, hint } => {
            let title = format!("Your own login of {name} is in a place that only {name} can read");
            let meaning = "srvd cannot take it over, and cannot tell whether it works.";
            return Finding::new(id, Severity::Note, title, format!("{directory}: {reason}"), meaning)
                .fix(Step::OfEntry { advice: hint.clone() });
        }
    }
    let title = format!("You have a login of {name} outside srvd");
    let note = |meaning: String| Finding::new(&id, Severity::Note, &title, directory, meaning);
    match &login.fate {
        AdoptionState::Adopted => {
            Finding::well(id, format!("Your own login of {name} is an account of srvd"), directory)
        }
        AdoptionState::AdoptedElsewhere(other) => {
            let other = other.display().to_string();
            let provider = provider.into();
            let step = match &login.variable {
                Some(name) => Step::UnsetOrLogIn { variable: name.clone(), other: other.clone(), provider },
                None => Step::LogInWithSrvd { provider },
            };
            note(format!(
                "srvd has taken over another directory of yours: {other}. Without srvd, {name} uses this one; \
                 with `srvd exec`, it uses that one."
            ))
            .fix(step)
        }
        AdoptionState::Bound => note(format!(
            "srvd has another account of {provider}. Without srvd, {name} uses this one instead."
        )),
        AdoptionState::Declined => note(format!(
            "Its account was removed from srvd, so it is not taken over again. Without srvd, {name} still uses it."
        )),
        AdoptionState::Waiting => match &login.variable {
            None => note(
                "The next start of the daemon takes it over into the bundle `default`, without copying it."
                    .to_owned(),
            )
            .fix(Step::PreviewMigration),
            Some(variable) => note(format!(
                "A daemon that is started with {variable} takes it over into the bundle `default`, without copying it. \
                 A daemon that a service starts does not see the variables of this shell."
            ))
            .fix(Step::MigrateHere),
        },
        AdoptionState::Unknown => note(format!("Without srvd, {name} uses it.")),
    }
}

/// Returns the finding for macOS, where a login need not be a file.
pub(super) fn keychain(system: System, programs: &[Program]) -> Option<Finding> {
    let claude = programs.iter().find(|program| program.provider == "claude" && !program.found.is_empty())?;
    (system == System::MacOs).then(|| {
        Finding::new(
            "keychain",
            Severity::Note,
            format!("{} keeps its logins in the macOS keychain", claude.name),
            "with one entry for each directory that it is started with",
            "srvd cannot read it: such an account is shown as `unknown` until its CLI is used. macOS may ask you for \
             permission once for each new version of the CLI, and over SSH the keychain is locked.",
        )
        .fix(Step::UnlockKeychain)
    })
}
