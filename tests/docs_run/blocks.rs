//! The blocks of code in the documents.

use std::fs;
use std::path::{Path, PathBuf};

use crate::scene::Scene;

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

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
    let mut files = markdown_below(&root().join("docs"));
    files.push(root().join("README.md"));
    files.sort();
    let pages = files.iter().map(|file| {
        let name = file.strip_prefix(root()).unwrap().to_str().unwrap();
        parse(name, &fs::read_to_string(file).unwrap())
    });
    pages.filter(|page| page.segments.iter().any(|segment| !segment.blocks.is_empty())).collect()
}

fn markdown_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    files.chain(folders.iter().flat_map(|folder| markdown_below(folder))).collect()
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
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(scene) = comment(line, "scene") {
            let scene = Scene::parse(scene).unwrap_or_else(|| panic!("{file}:{}: no scene {scene}", number + 1));
            segments.push(segment(number + 1, scene));
        }
        if let Some(language) = line.trim_start().strip_prefix("```") {
            let indent = line.len() - line.trim_start().len();
            let body = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
            let text = body
                .map(|line| line.get(indent..).unwrap_or_default())
                .fold(String::new(), |text, line| text + line + "\n");
            let kind = match language {
                "sh" => Some(Kind::Sh),
                "console" => Some(Kind::Console),
                _ => None,
            };
            let current = segments.last_mut().unwrap();
            if let Some(kind) = kind {
                let not_run = comment(before, "not run").map(ToOwned::to_owned);
                current.blocks.push(Block { line: number + 2, kind, text, not_run });
            } else if let Some(name) = comment(before, "file") {
                current.files.push((name.into(), text));
            }
        }
        before = line;
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
