//! Names in the form that files have.

/// `AlreadyContracted` becomes `already-contracted`.
pub(crate) fn kebab_case(name: &str) -> String {
    let words = name.chars().map(|c| if c.is_uppercase() { format!("-{}", c.to_lowercase()) } else { c.to_string() });
    words.collect::<String>().trim_start_matches('-').to_owned()
}
