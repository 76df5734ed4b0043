//! The part of `srvd exec` that serves shims. It never starts a shim again. It runs the program without an identity if
//! the user asks for that or if the program needs none.

use std::ffi::OsString;

use crate::base::environment::Environment;
use crate::cli::failure::{Failure, code};
use crate::hint::Step;

/// The variable that runs a program without the shim's effect, as in `SRVD_SHIM=off codex`. It is not passed on.
pub(in crate::cli) const OPT_OUT_VAR: &str = "SRVD_SHIM";
/// The variable that counts the launches that this one is nested in.
pub(super) const DEPTH_VAR: &str = "SRVD_DEPTH";
/// The largest number of nested launches. Agents start agents. The limit also stops a wrapper that is found in place of
/// the program, searches for it by name again, and so starts itself.
const DEEPEST: u32 = 32;

/// Returns whether the user asked for the program without the shim's effect.
pub(super) fn opted_out(environment: &Environment) -> Result<bool, Failure> {
    match environment.text(OPT_OUT_VAR) {
        None => Ok(false),
        Some("off") => Ok(true),
        Some(_) => {
            Err(Failure::new(code::CONFIG, format!("{OPT_OUT_VAR} must be unset or have the value: off")))
        }
    }
}

/// Returns whether the first argument is one with which every CLI prints its version or help and ends.
pub(super) fn asks_about_itself(command: &[OsString]) -> bool {
    let first = command.get(1).and_then(|first| first.to_str());
    matches!(first, Some("--version" | "--help" | "-h"))
}

/// Returns the number of launches that this one is nested in.
pub(super) fn depth(environment: &Environment) -> Result<u32, Failure> {
    let depth = environment.text(DEPTH_VAR).map_or(Ok(0), str::parse);
    match depth {
        Ok(depth) if depth < DEEPEST => Ok(depth),
        Ok(_) => Err(Failure::new(
            code::FAILED,
            format!("there are too many nested launches: the limit is {DEEPEST}"),
        )
        .hint(Step::ListShims)),
        Err(_) => Err(Failure::new(code::CONFIG, format!("{DEPTH_VAR} is not a number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shim_needs_no_identity_when_first_argument_is_help_or_version() {
        let check = |command: &[&str], expected: bool| {
            let command: Vec<OsString> = command.iter().map(OsString::from).collect();
            assert_eq!(asks_about_itself(&command), expected, "{command:?}");
        };
        check(&["claude", "--version"], true);
        check(&["claude", "--help"], true);
        check(&["claude", "-h", "x"], true);
        check(&["claude"], false);
        check(&["claude", "-p", "--version"], false);
        check(&["--version"], false);
        check(&["claude", "help"], false);
    }

    #[test]
    fn shim_opts_out_only_on_the_word_off_and_bounds_depth() {
        let of = |name: &'static str, value: &str| Environment::of([(name, value.to_owned())]);
        let nothing = Environment::default();
        assert_eq!((opted_out(&nothing), depth(&nothing)), (Ok(false), Ok(0)));
        assert_eq!(opted_out(&of(OPT_OUT_VAR, "off")), Ok(true));
        for other in ["1", "OFF", "no"] {
            assert_eq!(opted_out(&of(OPT_OUT_VAR, other)).unwrap_err().code(), code::CONFIG, "{other}");
        }
        assert_eq!(depth(&of(DEPTH_VAR, "31")), Ok(31));
        assert_eq!(depth(&of(DEPTH_VAR, "32")).unwrap_err().code(), code::FAILED);
        assert_eq!(depth(&of(DEPTH_VAR, "-1")).unwrap_err().code(), code::CONFIG);
    }
}
