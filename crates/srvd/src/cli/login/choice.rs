//! The choice of a login when the user has named none. It has no side effects.

use crate::wire::provider::{Login, LoginKind};

/// Returns the login to use on a remote terminal in place of the default one: the first login with a code that can be
/// entered in any browser. Returns `None` if the default login is of that kind, or if there is no such login.
///
/// A login whose id begins with that of another one, such as `openai-device` beside `openai`, replaces only that one.
/// It would log in to another service than the default does.
pub(super) fn for_remote(logins: &[Login]) -> Option<&Login> {
    let default = logins.first().filter(|default| default.kind == LoginKind::Browser)?;
    let stands_in_for_another = |device: &Login| {
        let belongs_to = |other: &Login| device.id.starts_with(&format!("{}-", other.id));
        !belongs_to(default)
            && logins.iter().any(|other| other.kind == LoginKind::Browser && belongs_to(other))
    };
    logins.iter().find(|login| login.kind == LoginKind::DeviceCode && !stands_in_for_another(login))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_terminal_gets_the_device_login_of_the_default_service() {
        let check = |logins: &[&str], expect: Option<&str>| {
            let login = |id: &&str| Login {
                kind: if id.contains("device") { LoginKind::DeviceCode } else { LoginKind::Browser },
                id: (*id).to_owned(),
                takes_paste: true,
                label: String::new(),
                opens_browser: true,
                shows_code: false,
                needs_paste: true,
                holds_ports: Vec::new(),
            };
            let logins: Vec<Login> = logins.iter().map(login).collect();
            assert_eq!(for_remote(&logins).map(|login| login.id.as_str()), expect, "{logins:?}");
        };
        check(&["login", "device-auth"], Some("device-auth"));
        check(&["pipe", "pty", "device"], Some("device"));
        check(&["openai", "openai-device"], Some("openai-device"));
        check(&["anthropic", "openai", "openai-device"], None);
        check(&["anthropic", "openai", "openai-device", "anthropic-device"], Some("anthropic-device"));
        check(&["device", "login"], None);
        check(&["login", "console"], None);
        check(&[], None);
    }
}
