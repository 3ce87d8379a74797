//! Each link of each page leads to a file and a heading that exist, and the book has each page.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::generated::{read, root};
use crate::markdown::{anchor, headings, links};
use crate::pages::pages;

/// A path without `..`, relative to the repository. `None`: it is outside of the repository.
fn normalized(path: &Path) -> Option<PathBuf> {
    path.components().try_fold(PathBuf::new(), |mut normal, component| {
        match component {
            Component::ParentDir if normal.pop() => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
            Component::CurDir => {}
            Component::Normal(part) => normal.push(part),
        }
        Some(normal)
    })
}

/// Why a link leads nowhere.
fn broken(page: &str, link: &str) -> Option<String> {
    if link.starts_with("https://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, fragment) = link.split_once('#').map_or((link, None), |(path, fragment)| (path, Some(fragment)));
    let folder = Path::new(page).parent().unwrap_or(Path::new(""));
    let target = if path.is_empty() { Some(page.into()) } else { normalized(&folder.join(path)) };
    let Some(target) = target else { return Some("is outside of the repository".into()) };
    if !root().join(&target).exists() {
        return Some(format!("{} does not exist", target.display()));
    }
    // The site has files, not folders.
    if page.starts_with("docs/") && root().join(&target).is_dir() {
        return Some(format!("{} is a folder: name a file in it", target.display()));
    }
    let fragment = fragment?;
    let text = read(target.to_str().expect("names are UTF-8"));
    let exists = headings(&text).iter().any(|heading| anchor(&heading.text) == fragment);
    (!exists).then(|| format!("{} has no heading #{fragment}", target.display()))
}

#[test]
fn each_link_leads_to_a_file_and_a_heading_that_exist() {
    let pages = pages();
    assert!(pages.len() > 60, "git lists {} pages", pages.len());
    let broken = pages.iter().flat_map(|page| {
        let links = links(&read(page));
        links.into_iter().filter_map(move |(line, link)| {
            broken(page, &link).map(|reason| format!("{page}:{line}: ({link}) {reason}"))
        })
    });
    let broken = broken.collect::<Vec<_>>();
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn the_book_has_each_page_once() {
    let summary = links(&read("docs/SUMMARY.md")).into_iter().map(|(_, link)| link).collect::<Vec<_>>();
    let distinct = summary.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(distinct.len(), summary.len(), "docs/SUMMARY.md names a page twice");
    let pages = pages().into_iter().filter_map(|page| page.strip_prefix("docs/").map(ToOwned::to_owned));
    let missing = pages.filter(|page| page != "SUMMARY.md" && !distinct.contains(page)).collect::<Vec<_>>();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:?}");
}

#[test]
fn a_link_that_leads_nowhere_is_noticed() {
    for link in ["nowhere.md", "know/nowhere.md", "SUMMARY.md#nowhere", "../../README.md", "#nowhere", "know"] {
        assert!(broken("docs/SUMMARY.md", link).is_some(), "{link}");
    }
    assert_eq!(broken("docs/SUMMARY.md", "../README.md#install"), None);
}
