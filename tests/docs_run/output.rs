//! What a command printed, compared with what the document says.

/// One command of a `console` block, with the lines that it should print.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Example {
    pub(crate) command: String,
    pub(crate) expected: Vec<String>,
}

/// The commands of a `console` block.
pub(crate) fn examples(text: &str) -> Vec<Example> {
    let mut examples = Vec::<Example>::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            examples.push(Example { command: command.into(), expected: vec![] });
        } else {
            let example = examples.last_mut().expect("a console block begins with a command");
            example.expected.push(line.into());
        }
    }
    examples
}

/// The widths of columns depend on the values in them.
fn squeezed(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a line matches, where `…` stands for any text.
fn line_matches(expected: &str, printed: &str) -> bool {
    let (expected, printed) = (squeezed(expected), squeezed(printed));
    let parts = expected.split('…').collect::<Vec<_>>();
    let [first, middle @ .., last] = &parts[..] else { return expected == printed };
    let Some(rest) = printed.strip_prefix(first) else { return false };
    let Some(mut rest) = rest.strip_suffix(last) else { return false };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    true
}

/// Whether the lines match, where a line `…` stands for any number of lines.
fn lines_match(expected: &[&str], printed: &[&str]) -> bool {
    match (expected, printed) {
        ([], []) => true,
        (["…", rest @ ..], _) => (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..])),
        ([line, expected @ ..], [other, printed @ ..]) => line_matches(line, other) && lines_match(expected, printed),
        ([], _) | (_, []) => false,
    }
}

impl Example {
    /// Whether this was printed.
    pub(crate) fn matches(&self, printed: &str) -> bool {
        let expected = self.expected.iter().map(|line| line.trim_end()).collect::<Vec<_>>();
        let printed = printed.trim_end().lines().map(str::trim_end).collect::<Vec<_>>();
        lines_match(&expected, &printed)
    }
}

#[test]
fn outputs_match_with_wildcards() {
    let [example] = &examples("$ a | b\nNAME   AGE\nplan …s\n…\nend\n")[..] else { panic!("one command") };
    assert_eq!(example.command, "a | b");
    for (printed, expected) in [
        ("NAME AGE\nplan   12s\nend\n", true),
        ("NAME AGE\nplan   12s\nmore\nlines\nend\n", true),
        ("NAME AGE\nplan   12m\nend\n", false),
        ("NAME AGE\nplan   12s\n", false),
        ("NAME AGE\nplan   12s\nend\nmore\n", false),
    ] {
        assert_eq!(example.matches(printed), expected, "{printed}");
    }
    assert!(examples("$ true\n")[0].matches("") && !examples("$ true\n")[0].matches("text\n"));
}
