//! Command-line flags with any values: the operator accepts them or reports why it does not.

use clap::{CommandFactory, Parser};
use fic_support_operator::cli::Cli;
use proptest::prelude::*;

use crate::config;

fn flag() -> impl Strategy<Value = String> {
    let command = Cli::command();
    let run = command.find_subcommand("run").expect("the command");
    let names = run.get_arguments().filter_map(|argument| Some(format!("--{}", argument.get_long()?)));
    let names = names.collect::<Vec<_>>();
    let values = prop_oneof![
        "[0-9]{0,25}(ms|s|m|h|d|)",
        "http(s)?://[ -~]{0,20}",
        "[a-z=,!() ]{0,20}",
        any::<String>(),
        Just("9999999999999999999999h".to_owned()),
    ];
    prop_oneof![
        (prop::sample::select(names), values.clone()).prop_map(|(name, value)| format!("{name}={value}")),
        values,
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn flags_are_accepted_or_refused_with_reason(arguments in prop::collection::vec(flag(), 0..5)) {
        let line = ["fic-support-operator".to_owned(), "run".to_owned()].into_iter().chain(arguments);
        if let Err(error) = Cli::try_parse_from(line) {
            prop_assert!(!error.to_string().trim().is_empty());
        }
    }
}
