//! Sanitizes text from FIC, Keystone and the API server for a status, an Event or a log line.

use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// The longest message, in characters.
const MAX_MESSAGE_LENGTH: usize = 300;
/// Shorter secrets are not redacted: they protect nothing, and redacting them would destroy ordinary words.
const MIN_SECRET_LENGTH: usize = 4;
/// The longest single value (a status, a menu, a date), in characters.
const MAX_WORD_LENGTH: usize = 64;

/// Makes a message one line without control characters, redacts these secrets and truncates it.
#[must_use]
pub fn sanitize_message(raw: &str, secrets: &[&SecretString]) -> Box<str> {
    sanitize(raw, MAX_MESSAGE_LENGTH, secrets)
}

/// Sanitizes a single value in the same way.
#[must_use]
pub fn sanitize_word(raw: &str, secrets: &[&SecretString]) -> Box<str> {
    sanitize(raw, MAX_WORD_LENGTH, secrets)
}

/// An error and its causes as one sanitized message: it may contain text of the API server.
#[must_use]
pub fn error_chain(error: &dyn std::error::Error) -> Box<str> {
    let causes = std::iter::successors(Some(error), |error| error.source());
    sanitize_message(&causes.map(ToString::to_string).collect::<Vec<_>>().join(": "), &[])
}

fn sanitize(raw: &str, max_length: usize, secrets: &[&SecretString]) -> Box<str> {
    let mut text = one_line(raw);
    for secret in secrets {
        let secret = Zeroizing::new(one_line(secret.expose_secret()));
        if secret.len() >= MIN_SECRET_LENGTH {
            text = text.replace(secret.as_str(), "[redacted]");
        }
    }
    // Truncating first could leave a part of a secret that is no longer recognized.
    truncate(text, max_length).into()
}

/// Replaces each sequence of white space, control characters and invisible direction marks by one space.
fn one_line(raw: &str) -> String {
    let parts = raw.split(|c: char| c.is_whitespace() || c.is_control() || is_direction_mark(c));
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Characters that change the order in which a terminal shows text.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn truncate(mut text: String, max_length: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(max_length) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// `AlreadyContracted` becomes `already-contracted`, as the pages of the documents are named.
#[must_use]
pub fn kebab_case(name: &str) -> String {
    let words = name.chars().map(|c| if c.is_uppercase() { format!("-{}", c.to_lowercase()) } else { c.to_string() });
    words.collect::<String>().trim_start_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_line_breaks_become_single_spaces() {
        assert_eq!(&*sanitize_message("  a\r\n\tb\u{1b}[31mc\u{0}\u{202e}d ", &[]), "a b [31mc d");
    }

    #[test]
    fn long_text_is_truncated_at_character_boundary() {
        let truncated = sanitize_message(&"ü".repeat(10_000), &[]);
        assert_eq!(truncated.chars().count(), MAX_MESSAGE_LENGTH + 1);
        assert!(truncated.ends_with('…'));
        assert_eq!(sanitize_word(&"x".repeat(1000), &[]).chars().count(), MAX_WORD_LENGTH + 1);
    }

    #[test]
    fn error_chain_shows_causes_on_one_line() {
        #[derive(Debug, thiserror::Error)]
        #[error("the call failed")]
        struct Failed(#[source] std::io::Error);
        let long = "x".repeat(MAX_MESSAGE_LENGTH);
        let message = error_chain(&Failed(std::io::Error::other(format!("no\u{1b}[31m\nway {long}"))));
        assert!(message.starts_with("the call failed: no [31m way xxx") && message.ends_with('…'), "{message}");
    }

    #[test]
    fn secrets_are_redacted_even_where_text_is_truncated() {
        let secret = SecretString::from("s3cret-value");
        let raw = format!("{}{}", "x".repeat(MAX_MESSAGE_LENGTH - 4), "s3cret-value is wrong");
        let clean = sanitize_message(&raw, &[&secret]);
        assert!(!clean.contains("s3cr"), "{clean}");
        assert!(sanitize_message("key s3cret-value", &[&secret]).contains("[redacted]"));
        assert_eq!(&*sanitize_message("key s3cret\tvalue\n", &[&"s3cret\n value".into()]), "key [redacted]");
        assert_eq!(&*sanitize_message("not eligible", &[&SecretString::from("e")]), "not eligible");
        let phrase = "a b c d e f g h i j k l m n o p q r s t u v w x y z";
        for max_length in [MAX_MESSAGE_LENGTH, MAX_WORD_LENGTH] {
            let raw = format!("{} {phrase} is wrong", "x".repeat(max_length - 20));
            let clean = sanitize(&raw, max_length, &[&SecretString::from(phrase)]);
            assert!(!clean.contains("a b") && clean.contains("[redacted]"), "{clean}");
        }
    }
}
