//! The blocks of code in the documents.

use crate::generated::read;
use crate::pages::{self, Part, parts};
use crate::scene::Scene;

/// A page, in the order of its segments.
pub(crate) struct Page {
    pub(crate) file: String,
    pub(crate) segments: Vec<Segment>,
}

/// A part of a page that runs in one cluster, as one script.
pub(crate) struct Segment {
    pub(crate) file: String,
    /// The line where it begins.
    pub(crate) line: usize,
    pub(crate) scene: Scene,
    pub(crate) blocks: Vec<Block>,
    /// The files that its commands read: the name and the content.
    pub(crate) files: Vec<(String, String)>,
}

/// What a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Commands.
    Sh,
    /// Commands with their output.
    Console,
}

/// A block of commands.
pub(crate) struct Block {
    /// The line of the first command.
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// Why it cannot run.
    pub(crate) not_run: Option<String>,
}

/// The pages with commands: the README and everything below `docs`, without those that have none.
pub(crate) fn pages() -> Vec<Page> {
    let files = pages::pages().into_iter().filter(|file| file == "README.md" || file.starts_with("docs/"));
    let pages = files.map(|file| parse(&file, &read(&file)));
    pages.filter(|page| page.segments.iter().any(|segment| !segment.blocks.is_empty())).collect()
}

/// The value of a comment such as `<!-- not run: needs a registry -->`.
fn comment<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.trim().strip_prefix("<!-- ")?.strip_prefix(name)?.strip_prefix(": ")?.strip_suffix(" -->")
}

/// The segments of a page with their blocks.
fn parse(file: &str, page: &str) -> Page {
    let segment = |line, scene| Segment { file: file.into(), line, scene, blocks: vec![], files: vec![] };
    let mut segments = vec![segment(1, Scene::Shared)];
    let mut before = "";
    for part in parts(page) {
        match part {
            Part::Line { number, text } => {
                if let Some(scene) = comment(text, "scene") {
                    let scene = Scene::parse(scene).unwrap_or_else(|| panic!("{file}:{number}: no scene {scene}"));
                    segments.push(segment(number, scene));
                }
                before = text;
            }
            Part::Code { number, language, text } => {
                let current = segments.last_mut().unwrap();
                let kind = match language {
                    "sh" => Some(Kind::Sh),
                    "console" => Some(Kind::Console),
                    _ => None,
                };
                if let Some(kind) = kind {
                    let not_run = comment(before, "not run").map(ToOwned::to_owned);
                    current.blocks.push(Block { line: number, kind, text, not_run });
                } else if let Some(name) = comment(before, "file") {
                    current.files.push((name.into(), text));
                }
                before = "";
            }
        }
    }
    Page { file: file.into(), segments }
}

#[test]
fn blocks_are_found_with_what_is_said_before_them() {
    let page = "```sh\na\n```\n<!-- scene: empty -->\n1. b\n   <!-- not run: why -->\n   ```console\n   $ b\n     c\n   ```\n<!-- file: d -->\n```yaml\ne\n```\n";
    let page = parse("page.md", page);
    let [first, second] = &page.segments[..] else { panic!("two segments") };
    assert_eq!((first.scene, first.blocks[0].kind, &*first.blocks[0].text), (Scene::Shared, Kind::Sh, "a\n"));
    let block = &second.blocks[0];
    assert_eq!((second.scene, second.line, block.kind, block.line), (Scene::Empty, 4, Kind::Console, 8));
    assert_eq!((&*block.text, block.not_run.as_deref()), ("$ b\n  c\n", Some("why")));
    assert_eq!(second.files, [("d".to_owned(), "e\n".to_owned())]);
}
