//! Words from outside, made fit for a status, an event or a log.

use secrecy::{ExposeSecret, SecretString};

/// The most that is kept of a message from outside, in characters.
const WORDS: usize = 300;
/// What is shorter than this hides nothing, and taking it out would tear ordinary words apart.
const SHORTEST_SECRET: usize = 4;
/// The most that is kept of a single word from outside (a status, a menu, a date), in characters.
const WORD: usize = 64;

/// A message from outside: one line, no control characters, cut, and without any of the secrets that the caller used.
#[must_use]
pub fn words(raw: &str, secrets: &[&SecretString]) -> Box<str> {
    clean(raw, WORDS, secrets)
}

/// A single word from outside, treated likewise.
#[must_use]
pub fn word(raw: &str, secrets: &[&SecretString]) -> Box<str> {
    clean(raw, WORD, secrets)
}

/// An error with its causes, as one message: the API server's words come from outside too.
#[must_use]
pub fn error(error: &dyn std::error::Error) -> Box<str> {
    let causes = std::iter::successors(Some(error), |error| error.source());
    words(&causes.map(ToString::to_string).collect::<Vec<_>>().join(": "), &[])
}

fn clean(raw: &str, most: usize, secrets: &[&SecretString]) -> Box<str> {
    let mut text = one_line(raw);
    for secret in secrets {
        let secret = one_line(secret.expose_secret());
        if secret.len() >= SHORTEST_SECRET {
            text = text.replace(&secret, "[redacted]");
        }
    }
    cut(text, most).into()
}

/// Every run of white space, control characters and invisible direction marks becomes one space.
fn one_line(raw: &str) -> String {
    let parts = raw.split(|c: char| c.is_whitespace() || c.is_control() || is_direction_mark(c));
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Marks that make a terminal show text in another order than it stands in.
fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn cut(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_line_breaks_become_single_spaces() {
        assert_eq!(&*words("  a\r\n\tb\u{1b}[31mc\u{0}\u{202e}d ", &[]), "a b [31mc d");
    }

    #[test]
    fn long_words_are_cut_on_a_character() {
        let cut = words(&"ü".repeat(10_000), &[]);
        assert_eq!(cut.chars().count(), WORDS + 1);
        assert!(cut.ends_with('…'));
        assert_eq!(word(&"x".repeat(1000), &[]).chars().count(), WORD + 1);
    }

    #[test]
    fn an_error_tells_its_causes_on_one_line() {
        #[derive(Debug, thiserror::Error)]
        #[error("the call failed")]
        struct Failed(#[source] std::io::Error);
        let long = "x".repeat(WORDS);
        let told = error(&Failed(std::io::Error::other(format!("no\u{1b}[31m\nway {long}"))));
        assert!(told.starts_with("the call failed: no [31m way xxx") && told.ends_with('…'), "{told}");
    }

    #[test]
    fn secrets_are_taken_out_even_where_the_cut_falls() {
        let secret = SecretString::from("s3cret-value");
        let raw = format!("{}{}", "x".repeat(WORDS - 4), "s3cret-value is wrong");
        let clean = words(&raw, &[&secret]);
        assert!(!clean.contains("s3cr"), "{clean}");
        assert!(words("key s3cret-value", &[&secret]).contains("[redacted]"));
        assert_eq!(&*words("key s3cret\tvalue\n", &[&"s3cret\n value".into()]), "key [redacted]");
        assert_eq!(&*words("not eligible", &[&SecretString::from("e")]), "not eligible");
        let phrase = "a b c d e f g h i j k l m n o p q r s t u v w x y z";
        for (clean, most) in [(words as fn(&str, &[&SecretString]) -> Box<str>, WORDS), (word, WORD)] {
            let raw = format!("{} {phrase} is wrong", "x".repeat(most - 20));
            let clean = clean(&raw, &[&SecretString::from(phrase)]);
            assert!(!clean.contains("a b") && clean.contains("[redacted]"), "{clean}");
        }
    }
}
