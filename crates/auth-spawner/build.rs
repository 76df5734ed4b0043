//! Lists the shipped provider entries, so that a file added to `config/providers` needs no change of code.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/providers").canonicalize()?;
    println!("cargo::rerun-if-changed={}", dir.display());
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&dir)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut list = "[\n".to_owned();
    for path in &files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Writing to a String cannot fail.
        let _ =
            writeln!(list, "    (\"config/providers/{name}\", include_str!(r##\"{}\"##)),", path.display());
    }
    list.push_str("]\n");
    #[expect(
        clippy::disallowed_methods,
        reason = "Cargo names a build script's output directory in no other way"
    )]
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    std::fs::write(out.join("shipped.rs"), list)
}
