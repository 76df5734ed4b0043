//! The recipe that a client means by the arguments that it sends.

use auth_spawner::{Cli, Recipe};

/// The recipe that was chosen for a client's arguments.
#[derive(Debug)]
pub(super) struct MeantRecipe<'a> {
    pub(super) recipe: &'a Recipe,
    /// True if the arguments name this recipe. False if it is only the default.
    pub(super) named: bool,
}

/// Options that change neither the page that the user sees nor the way to finish the login.
const QUIET: &[&str] = &[
    "--debug",
    "--force",
    "--json",
    "--no-browser",
    "--no-color",
    "--no-launch-browser",
    "--no-open",
    "--quiet",
    "--verbose",
    "--yes",
    "-q",
    "-v",
    "-y",
];

/// Parts of words that name another way to log in than a provider's default one, or another account of the user.
#[rustfmt::skip] // one compact list
const OTHER_FLOWS: &[&str] = &[
    "account", "browser", "code", "console", "device", "email", "enterprise", "headless", "host", "key", "method",
    "org", "paste", "profile", "project", "provider", "region", "setup", "sso", "team", "tenant", "token", "web",
    "workspace",
];

/// Returns the recipe of the CLI that the arguments name, by its own arguments or by an alias. Quiet options do not
/// count. Arguments that name no recipe mean the default one, unless one of their words could mean another login.
///
/// # Errors
/// The first word that could mean another login.
pub(super) fn meant<'a>(
    cli: &'a Cli,
    default: &'a Recipe,
    args: &[String],
) -> Result<MeantRecipe<'a>, String> {
    let asked = words(args);
    let loud: Vec<&str> = asked.iter().copied().filter(|word| !QUIET.contains(word)).collect();
    for wanted in [&asked, &loud] {
        let names = |recipe: &&Recipe| forms(recipe).any(|form| words(form) == *wanted);
        if let Some(recipe) = cli.recipes.iter().find(names) {
            return Ok(MeantRecipe { recipe, named: true });
        }
    }
    let variants = || cli.recipes.iter().filter(|recipe| recipe.id == default.id);
    let known: Vec<&str> = variants().flat_map(forms).flat_map(|form| words(form)).collect();
    let mut after_option = false;
    for word in loud {
        let option = word.starts_with('-');
        if !known.contains(&word) && (option || after_option || means_another(word)) {
            return Err(word.to_owned());
        }
        after_option = option;
    }
    Ok(MeantRecipe { recipe: default, named: args.is_empty() })
}

/// Returns the recipe's own arguments and their aliases.
fn forms(recipe: &Recipe) -> impl Iterator<Item = &Vec<String>> {
    std::iter::once(&recipe.args).chain(&recipe.args_aliases)
}

/// Returns the words of the arguments. `--option=value` is two words.
fn words(args: &[String]) -> Vec<&str> {
    args.iter()
        .flat_map(|arg| match arg.split_once('=') {
            Some((option, value)) if option.starts_with("--") => vec![option, value],
            _ => vec![arg.as_str()],
        })
        .collect()
}

fn means_another(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    OTHER_FLOWS.iter().any(|part| word.contains(part))
}
