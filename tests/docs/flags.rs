//! The tables of flags: from clap.

use clap::{Arg, CommandFactory};
use fic_support_operator::cli::Cli;

use crate::generated::{check, table};

fn row(flag: &Arg) -> [String; 4] {
    let name = flag.get_long().expect("each flag has a long name");
    let value = flag.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
    let variable = flag.get_env().map_or_else(String::new, |variable| format!("`{}`", variable.to_string_lossy()));
    let help = flag.get_help().expect("each flag has a help text").to_string();
    // Where clap has no default, the help text names it.
    let (help, named) = help.split_once(" [default").map_or((help.as_str(), None), |(help, rest)| (help, Some(rest)));
    let default = match (flag.get_default_values(), named) {
        ([], None) => String::new(),
        ([], Some(named)) => named
            .trim_start_matches(" level")
            .trim_start_matches(": ")
            .trim_end_matches('.')
            .strip_suffix(']')
            .unwrap_or(named)
            .to_owned(),
        (values, _) => {
            values.iter().map(|value| format!("`{}`", value.to_string_lossy())).collect::<Vec<_>>().join(", ")
        }
    };
    let short = flag.get_short().map_or_else(String::new, |short| format!("`-{short}`, "));
    [format!("{short}`--{name} {value}`"), variable, default, format!("{}.", help.trim_end_matches('.'))]
}

#[test]
fn the_tables_of_flags_are_up_to_date() {
    let mut command = Cli::command();
    let sections = ["run", "check", "report"].map(|name| {
        let command = command.find_subcommand_mut(name).expect("the command");
        let flags = command.get_arguments().filter(|flag| flag.get_long().is_some_and(|name| name != "help"));
        (name, table(["flag", "variable", "default", "meaning"], flags.map(row)))
    });
    check("docs/reference/flags.md", &sections);
}
