//! The documents agree with each other.

use std::path::{Path, PathBuf};

use mq_tests::Document;

/// The lines of the drawing, without what stands before each in the document.
fn drawing(document: &Document) -> Vec<String> {
    const FIRST: &str = "PUSH                    CLAIM";
    let lines = document.lines();
    let first = lines.iter().position(|line| line.contains(FIRST)).expect("a drawing");
    let drawn = lines[first..].iter().take_while(|line| !line.contains("```"));
    drawn
        .map(|line| {
            line.strip_prefix("//!").map_or(line.as_str(), |line| line.strip_prefix(' ').unwrap_or(line)).to_owned()
        })
        .collect()
}

#[test]
fn the_life_of_a_message_is_drawn_alike_everywhere() {
    let drawn = drawing(&Document::read("README.md"));
    assert_eq!(drawn, drawing(&Document::read("module/DESIGN.md")));
    assert_eq!(drawn, drawing(&Document::read("module/engine/src/lib.rs")));
    for word in [
        "PUSH",
        "CLAIM",
        "ACK",
        "FAIL",
        "RETRY",
        "RELEASE",
        "REDRIVE",
        "DRAINERRORS",
        "REMOVE",
        "PURGE",
        "TTL",
        "errors-keep",
    ] {
        assert!(drawn.iter().any(|line| line.contains(word)), "{word}");
    }
}

/// All files of a folder and of the folders in it, one after the other.
fn texts_below(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let text = |path: PathBuf| {
        if path.is_dir() { texts_below(&path) } else { std::fs::read_to_string(&path).expect("a text") }
    };
    paths.map(text).collect()
}

#[test]
fn every_test_that_the_design_calls_a_proof_is_there() {
    let tests = texts_below("tests".as_ref());
    let mut proofs = 0;
    for line in Document::read("module/DESIGN.md").lines().iter().filter(|line| line.starts_with('|')) {
        let Some((_, proof)) = line.trim_end_matches('|').rsplit_once('|') else { continue };
        for name in proof.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 2) {
            assert!(tests.contains(&format!("fn {name}()")), "{name}");
            proofs += 1;
        }
    }
    assert!(proofs > 15, "{proofs} proofs");
}

#[test]
fn the_books_are_the_same_everywhere() {
    let books = "pushed = ready + delayed + claimed + errors + acked + drained + removed + dropped";
    for file in ["module/COMMANDS.md", "README.md", "module/DESIGN.md"] {
        assert!(Document::read(file).lines().iter().any(|line| line.contains(books)), "{file}");
    }
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    for file in ["README.md", "module/COMMANDS.md", "module/PATTERNS.md", "module/DESIGN.md"] {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        for line in Document::read(file).lines() {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
                if path.starts_with("http") {
                    continue;
                }
                let path = if path.is_empty() { file.to_owned() } else { format!("{folder}/{path}") };
                let linked = Document::read(path.trim_start_matches('/'));
                let anchor_of = |heading: &str| {
                    let kept = heading.to_lowercase();
                    kept.chars()
                        .filter(|c| c.is_alphanumeric() || " -".contains(*c))
                        .collect::<String>()
                        .replace(' ', "-")
                };
                let headings = linked.lines().iter().filter(|line| line.starts_with('#'));
                let found =
                    headings.map(|line| anchor_of(line.trim_start_matches(['#', ' ']))).any(|found| found == anchor);
                assert!(anchor.is_empty() || found, "{file}: {target}");
            }
        }
    }
}
