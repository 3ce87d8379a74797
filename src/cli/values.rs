//! How the values of flags are read.

use std::path::Path;
use std::time::Duration;

use jiff::SignedDuration;
use reqwest::{Certificate, Url};

pub(super) fn endpoint(text: &str) -> Result<Url, String> {
    let url =
        Url::parse(text).map_err(|error| format!("{error}; give a whole URL such as https://api.ntt.com/fic-eri"))?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
        return Err("give a whole URL with its scheme, such as https://api.ntt.com/fic-eri".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "an endpoint must not hold a user or a password: credentials belong into the Secrets of the plans".into()
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("an endpoint must not hold a query or a fragment".into());
    }
    Ok(url)
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration =
        text.parse().map_err(|_| "give a number with its unit, such as 500ms, 3s or 10m".to_owned())?;
    match Duration::try_from(parsed) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        Ok(_) | Err(_) => Err("it must be longer than zero".into()),
    }
}

/// A namespace is a DNS label.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte != b'-');
    let well_formed =
        text.len() <= 63 && text.bytes().all(inner) && edge(text.bytes().next()) && edge(text.bytes().next_back());
    if well_formed {
        Ok(text.to_owned())
    } else {
        Err("a namespace is up to 63 lower-case letters, digits and dashes".into())
    }
}

/// Checks the form of a label selector, so that a typing error is told here and not by a watch that never begins.
pub(super) fn label_selector(text: &str) -> Result<String, String> {
    const RIGHT: &str = "give a label selector such as team=network,tier!=test,shard in (a,b),!legacy";
    let requirements = split_outside_parentheses(text).ok_or(RIGHT)?;
    if requirements.into_iter().all(is_requirement) { Ok(text.to_owned()) } else { Err(RIGHT.into()) }
}

fn split_outside_parentheses(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' if inside => return None,
            '(' => inside = true,
            ')' if !inside => return None,
            ')' => inside = false,
            ',' if !inside => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    (!inside).then_some(parts)
}

fn is_requirement(text: &str) -> bool {
    if let Some(key) = text.strip_prefix('!') {
        return is_key(key.trim());
    }
    if let Some((left, values)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let mut words = left.split_whitespace();
        return words.next().is_some_and(is_key)
            && matches!(words.next(), Some("in" | "notin"))
            && words.next().is_none()
            && values.split(',').all(|value| is_value(value.trim()));
    }
    let equation = text.split_once("!=").or_else(|| text.split_once("==")).or_else(|| text.split_once('='));
    match equation {
        Some((key, value)) => is_key(key.trim()) && !value.trim().is_empty() && is_value(value.trim()),
        None => is_key(text),
    }
}

fn is_key(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let prefixed = prefix.is_none_or(|prefix| {
        !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
    });
    prefixed && !name.is_empty() && is_value(name)
}

fn is_value(text: &str) -> bool {
    text.len() <= 63 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Reads the roots of a CA bundle.
pub(super) fn roots(file: &Path) -> Result<Vec<Certificate>, String> {
    let shown = file.display();
    let pem = std::fs::read(file).map_err(|error| format!("--ca-bundle {shown} cannot be read: {error}"))?;
    let roots = Certificate::from_pem_bundle(&pem)
        .map_err(|error| format!("--ca-bundle {shown} is not a PEM file of certificates: {error}"))?;
    if roots.is_empty() {
        return Err(format!("--ca-bundle {shown} holds no certificate: give a PEM file"));
    }
    Ok(roots)
}
