//! The layers of the crate: a module imports only from the modules below it, and the domain is pure.
//!
//! The order of the layers is the table in `src/lib.rs`, so that the map of the crate is always true.

use std::fs;
use std::path::{Path, PathBuf};

/// What pure code must not name: clients, I/O, async, clocks, randomness.
const IMPURE: &[&str] = &[
    "kube",
    "k8s_openapi",
    "reqwest",
    "tokio",
    "futures",
    "async",
    "await",
    "Instant",
    "SystemTime",
    "Timestamp",
    "fastrand",
    "tracing",
    "fs",
    "net",
    "env",
    "process",
    "thread",
];

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The modules in the table of `src/lib.rs`, from the ground up.
fn layers() -> Vec<String> {
    let map = fs::read_to_string(source().join("lib.rs")).expect("src/lib.rs is readable");
    let rows = map.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    rows.map(|row| row.split('`').next().unwrap_or_default().to_owned()).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the folder is readable").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    files.chain(folders.iter().flat_map(|folder| rust_files(folder))).collect()
}

/// The code of a file without comments and strings, by line.
fn code(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("the file is readable");
    let without_comment = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    let without_strings = |line: String| line.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
    text.lines().map(|line| without_strings(without_comment(line))).collect()
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The modules of the crate that a line names by a path that starts with `crate`.
fn imported(line: &str) -> Vec<&str> {
    let paths = line.split("crate::").skip(1);
    let names = paths.flat_map(|path| match path.strip_prefix('{') {
        Some(group) => group.split(',').filter_map(|item| words(item).next()).collect::<Vec<_>>(),
        None => words(path).next().into_iter().collect(),
    });
    names.filter(|name| name.starts_with(char::is_lowercase)).collect()
}

#[test]
fn the_map_in_lib_rs_lists_every_module() {
    let mut listed = layers();
    let declared = code(&source().join("lib.rs"));
    let declared = declared.iter().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let declared = declared.map(str::to_owned).collect::<Vec<_>>();
    listed.sort();
    assert_eq!(listed, declared, "the table in src/lib.rs must list each `pub mod` once");
}

#[test]
fn a_module_imports_only_from_the_modules_below_it() {
    let layers = layers();
    let level = |module: &str| layers.iter().position(|layer| layer == module);
    let mut violations = Vec::new();
    for file in rust_files(&source()) {
        let path = file.strip_prefix(source()).expect("a file of src").to_string_lossy().into_owned();
        let module = path.split(['/', '.']).next().unwrap_or_default();
        let Some(own) = level(module) else {
            assert!(matches!(module, "lib" | "main"), "src/{path} belongs to no module in the table of src/lib.rs");
            continue;
        };
        for (line, text) in code(&file).iter().enumerate() {
            for import in imported(text) {
                match level(import) {
                    Some(imported) if imported <= own => {}
                    Some(_) => violations.push(format!(
                        "src/{path}:{}: {module} imports from {import}, which is above it. Move the code down, or pass the value in.",
                        line + 1
                    )),
                    None => violations.push(format!("src/{path}:{}: unknown module {import}", line + 1)),
                }
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

/// What the commands that only read must not name: the client that writes to FIC, and writes to the API server.
const WRITES: &[&str] = &["FicClient", "create", "delete", "patch", "replace"];

#[test]
fn check_and_report_only_read() {
    let mut violations = Vec::new();
    for file in ["check", "report"].into_iter().flat_map(|module| rust_files(&source().join(module))) {
        for (line, text) in code(&file).iter().enumerate() {
            for word in words(text).filter(|word| WRITES.contains(word)) {
                violations.push(format!("{}:{}: names `{word}`", file.display(), line + 1));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn the_domain_is_pure() {
    let mut violations = Vec::new();
    for file in rust_files(&source().join("domain")) {
        for (line, text) in code(&file).iter().enumerate() {
            for word in words(text).filter(|word| IMPURE.contains(word)) {
                violations.push(format!(
                    "{}:{}: names `{word}`. The domain performs no I/O and reads no clock: pass the value in.",
                    file.display(),
                    line + 1
                ));
            }
        }
    }
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}
