//! Text from outside: what the operator shows of it is one short line without secrets.

use fic_support_operator::text::{sanitize_message, sanitize_word};
use proptest::prelude::*;

use crate::config;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn sanitized_text_is_one_short_line_without_secret(
        raw in any::<String>(),
        secret in "[a-z0-9]{4,40}",
        at in any::<prop::sample::Index>(),
    ) {
        let positions = raw.char_indices().map(|(position, _)| position).chain([raw.len()]).collect::<Vec<_>>();
        let (before, after) = raw.split_at(positions[at.index(positions.len())]);
        let secret_string = secrecy::SecretString::from(secret.clone());
        let message = sanitize_message(&format!("{before}{secret}{after}"), &[&secret_string]);
        prop_assert!(!message.contains(&secret), "{message}");
        prop_assert!(!message.chars().any(char::is_control) && !message.contains('\n'));
        prop_assert!(message.chars().count() <= 301 && sanitize_word(&raw, &[]).chars().count() <= 65);
    }
}
