//! The environment names in an installed program, compared with those of its entry.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::registry::{Provider, VariableClass, VariableRules, marked};

/// Longest name of a variable.
const LONGEST: usize = 64;
/// Most bytes that are read of all files of a program.
const MOST: u64 = 1024 * 1024 * 1024;
/// Most files of a package that are looked at.
const FILES: usize = 20_000;
/// Size of one read.
const CHUNK: usize = 1024 * 1024;

/// The result of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// The names that look like a credential or an address and that the entry does not know, in order.
    Unknown(Vec<String>),
    /// Most names that the entry knows are not in the program either, so it is packed or its names are built at run
    /// time.
    NotReadable,
    /// The entry names no prefix of its own.
    NoPrefix,
}

/// Looks through the files of an installed program. Blocks.
///
/// It reads the program itself, the file that a start script leads to, and the npm package that it belongs to with its
/// programs for this system, at most 1 GiB.
#[must_use]
pub fn names_in(provider: &Provider, rules: &VariableRules, program: &Path) -> Names {
    let known = known(provider);
    let prefixes = prefixes(provider);
    if prefixes.is_empty() {
        return Names::NoPrefix;
    }
    let mut found = BTreeSet::new();
    let mut left = MOST;
    for file in files(program) {
        scan(&file, &prefixes, &mut left, &mut found);
    }
    let own = known.iter().filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix.as_str())));
    let (own, present) =
        own.fold((0, 0), |(all, present), name| (all + 1, present + usize::from(found.contains(*name))));
    if present * 2 < own {
        return Names::NotReadable;
    }
    // A launch moves the directories, so a name of a new one is no news.
    let leads_away =
        |name: &String| marked(&rules.words, name).is_some_and(|(_, class)| class != VariableClass::Location);
    let unknown = found.into_iter().filter(|name| !known.contains(name.as_str()) && leads_away(name));
    Names::Unknown(unknown.collect())
}

/// Returns every name in the entry.
fn known(provider: &Provider) -> BTreeSet<&str> {
    let set = provider.cli.iter().flat_map(|cli| {
        let recipes = cli.recipes.iter().flat_map(|recipe| recipe.env.keys());
        let keys = cli.keys.values().flat_map(|home| home.env.keys().chain(&home.vars));
        recipes.chain(keys).chain(cli.env.keys()).chain(cli.logged_out.keys()).map(String::as_str)
    });
    provider.variables().into_keys().chain(set).collect()
}

/// Returns the prefixes that belong to this provider.
fn prefixes(provider: &Provider) -> BTreeSet<String> {
    provider.cli.iter().flat_map(|cli| &cli.environment_prefixes).cloned().collect()
}

/// Returns the files of a program: itself, what a start script leads to, the package that it belongs to, and the
/// packages for this system beside it.
fn files(program: &Path) -> Vec<PathBuf> {
    let mut programs = vec![program.to_owned()];
    let mut next = 0;
    while let Some(path) = programs.get(next).cloned() {
        next += 1;
        let real = std::fs::canonicalize(&path).unwrap_or(path);
        for target in led_to(&real).into_iter().chain([real]) {
            if !programs.contains(&target) && programs.len() < 16 {
                programs.push(target);
            }
        }
    }
    let mut packages: Vec<PathBuf> = Vec::new();
    for package in programs.iter().filter_map(|program| package_of(program)) {
        for dir in for_this_system(&package).into_iter().chain([package]) {
            if !packages.contains(&dir) {
                packages.push(dir);
            }
        }
    }
    let mut files: Vec<PathBuf> = packages.iter().flat_map(|dir| below(dir)).chain(programs).collect();
    files.sort();
    files.dedup();
    files
}

/// Returns the paths that a short script names in quotes and that exist.
fn led_to(script: &Path) -> Vec<PathBuf> {
    let short = std::fs::metadata(script).is_ok_and(|found| found.is_file() && found.len() <= 4096);
    let text = short.then(|| std::fs::read(script).ok()).flatten().unwrap_or_default();
    if !text.starts_with(b"#!") {
        return Vec::new();
    }
    let text = String::from_utf8_lossy(&text);
    let quoted = text.split(['"', '\'']).filter(|part| part.starts_with('/'));
    quoted.map(PathBuf::from).filter(|path| path.is_file()).collect()
}

/// Returns the directory of the npm package that a file belongs to.
fn package_of(file: &Path) -> Option<PathBuf> {
    let inside = file.components().any(|part| part.as_os_str() == "node_modules");
    let found = file.ancestors().skip(1).find(|dir| dir.join("package.json").is_file());
    found.filter(|_| inside).map(Path::to_owned)
}

/// Returns the installed packages among the optional dependencies of a package. These are its programs for one system.
fn for_this_system(package: &Path) -> Vec<PathBuf> {
    let text = std::fs::read(package.join("package.json")).unwrap_or_default();
    let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let names = manifest["optionalDependencies"].as_object().into_iter().flat_map(serde_json::Map::keys);
    let place = |name: &String| {
        let dirs = package.ancestors().map(|dir| dir.join("node_modules").join(name));
        dirs.into_iter().find(|dir| dir.is_dir())
    };
    names.filter_map(place).collect()
}

/// Returns the files of a package, without those of the packages that it carries.
fn below(package: &Path) -> Vec<PathBuf> {
    let (mut files, mut open) = (Vec::new(), vec![package.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && entry.file_name() != "node_modules" {
                open.push(entry.path());
            } else if kind.is_file() && files.len() < FILES {
                files.push(entry.path());
            }
        }
    }
    files
}

/// Adds the names in a file, which is read in pieces.
fn scan(file: &Path, prefixes: &BTreeSet<String>, left: &mut u64, found: &mut BTreeSet<String>) {
    let Ok(file) = File::open(file) else { return };
    let mut file = file.take(*left);
    let mut buffer = Vec::with_capacity(CHUNK + LONGEST);
    loop {
        let Ok(read) = (&mut file).take(CHUNK as u64).read_to_end(&mut buffer) else { return };
        *left -= read as u64;
        // A name at the end may go on in the next piece.
        let end = match read {
            0 => buffer.len(),
            _ => buffer.iter().rposition(|byte| !is_part(*byte)).map_or(0, |at| at + 1),
        };
        for run in buffer[..end].split(|byte| !is_part(*byte)) {
            for name in separated(run, prefixes) {
                if name.len() <= LONGEST && !found.contains(name) {
                    found.insert(name.to_owned());
                }
            }
        }
        if read == 0 {
            return;
        }
        buffer.drain(..end);
        // So much text without a gap holds no names.
        if buffer.len() > CHUNK {
            buffer.clear();
        }
    }
}

fn is_part(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'
}

/// Returns the names in a run of capitals that begins with a prefix. Some compilers store names without a separator, so a
/// prefix inside the run begins another name.
fn separated<'a>(run: &'a [u8], prefixes: &BTreeSet<String>) -> Vec<&'a str> {
    if run.len() > 16 * LONGEST || !prefixes.iter().any(|prefix| run.starts_with(prefix.as_bytes())) {
        return Vec::new();
    }
    let begins = |at: &usize| prefixes.iter().any(|prefix| run[*at..].starts_with(prefix.as_bytes()));
    // A prefix after an underscore is a part of the same name.
    let mut starts: Vec<usize> =
        (0..run.len()).filter(begins).filter(|at| *at == 0 || run[*at - 1] != b'_').collect();
    starts.push(run.len());
    let name = |pair: &[usize]| std::str::from_utf8(&run[pair[0]..pair[1]]).ok();
    starts.windows(2).filter_map(name).filter(|name| !name.ends_with('_')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Registry;

    fn provider(id: &str) -> std::sync::Arc<Provider> {
        std::sync::Arc::clone(Registry::builtin().unwrap().provider(id).unwrap())
    }

    fn rules() -> VariableRules {
        Registry::builtin().unwrap().variable_rules().clone()
    }

    #[test]
    fn names_are_separated_when_they_are_stored_without_a_gap() {
        let prefixes = BTreeSet::from(["CODEX_".to_owned()]);
        let check = |run: &str, expected: &[&str]| {
            assert_eq!(separated(run.as_bytes(), &prefixes), expected, "{run}");
        };
        check("CODEX_API_KEYCODEX_ACCESS_TOKEN", &["CODEX_API_KEY", "CODEX_ACCESS_TOKEN"]);
        check("CODEX_HOME", &["CODEX_HOME"]);
        check("MY_CODEX_HOME", &[]);
        check("CODEX_A_CODEX_B", &["CODEX_A_CODEX_B"]);
        check("CODEX_", &[]);
    }

    #[test]
    fn prefixes_are_those_of_the_vendor_only() {
        let of = |id: &str| prefixes(&provider(id)).into_iter().collect::<Vec<_>>();
        assert_eq!(of("grok"), ["GROK_", "XAI_"]);
        assert_eq!(of("pi"), ["PI_CODING_AGENT_"]);
        assert_eq!(of("github"), [""; 0]);
    }

    #[test]
    fn search_finds_unknown_names_across_reads_and_behind_a_start_script() {
        let dir = tempfile::tempdir().unwrap();
        let package = dir.path().join("node_modules/grok");
        let system = dir.path().join("node_modules/grok-linux");
        for made in [&package, &system] {
            std::fs::DirBuilder::new().recursive(true).create(made).unwrap();
        }
        std::fs::write(package.join("package.json"), r#"{"optionalDependencies": {"grok-linux": "1"}}"#)
            .unwrap();
        std::fs::write(package.join("start.js"), "go()").unwrap();
        let known: Vec<String> = known(&provider("grok")).into_iter().map(str::to_owned).collect();
        // The new name lies across the end of the first read.
        let mut text = vec![b' '; CHUNK - 6];
        text.extend_from_slice(b"GROK_NEW_TOKEN GROK_COLOR GROK_NEW_DIR ");
        text.extend_from_slice(known.join("\n").as_bytes());
        std::fs::write(system.join("grok"), &text).unwrap();
        let script = dir.path().join("grok");
        let node = format!("#!/bin/sh\nexec node \"{}\" \"$@\"\n", package.join("start.js").display());
        std::fs::write(&script, node).unwrap();
        assert_eq!(
            names_in(&provider("grok"), &rules(), &script),
            Names::Unknown(vec!["GROK_NEW_TOKEN".to_owned()])
        );
    }

    #[test]
    fn search_says_that_a_packed_program_is_not_readable() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("grok");
        std::fs::write(&program, "GROK_HOME GROK_SOME_TOKEN and nothing more").unwrap();
        assert_eq!(names_in(&provider("grok"), &rules(), &program), Names::NotReadable);
    }
}
