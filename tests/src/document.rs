//! What stands in a document: its sections, fenced blocks and tables.

use std::{fs, path::Path};

/// A document of the project, or a section of one.
pub struct Document(Vec<String>);

/// A fenced block.
#[derive(Clone, Debug)]
pub struct Block {
    /// What stands behind the opening fence.
    pub kind: String,
    /// The heading above it.
    pub heading: String,
    /// Its lines.
    pub lines: Vec<String>,
}

impl Document {
    /// Reads a file, named from the root of the workspace.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn read(file: &str) -> Self {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self(text.lines().map(str::to_owned).collect())
    }

    /// Its lines.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }

    /// The sections below headings of the second level, by heading.
    #[must_use]
    pub fn sections(&self) -> Vec<(String, Self)> {
        let mut sections: Vec<(String, Self)> = Vec::new();
        for line in &self.0 {
            if let Some(heading) = line.strip_prefix("## ") {
                sections.push((heading.to_owned(), Self(Vec::new())));
            } else if let Some((_, section)) = sections.last_mut() {
                section.0.push(line.clone());
            }
        }
        sections
    }

    /// One of them.
    ///
    /// # Panics
    /// If there is none of that heading.
    #[must_use]
    pub fn section(&self, heading: &str) -> Self {
        let found = self.sections().into_iter().find(|(found, _)| found == heading);
        found.unwrap_or_else(|| panic!("no section {heading}")).1
    }

    /// Every fenced block.
    #[must_use]
    pub fn blocks(&self) -> Vec<Block> {
        let (mut blocks, mut heading) = (Vec::new(), String::new());
        let mut open: Option<Block> = None;
        for line in &self.0 {
            match (line.strip_prefix("```"), open.as_mut()) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(kind), None) => {
                    open = Some(Block { kind: kind.to_owned(), heading: heading.clone(), lines: Vec::new() });
                }
                (None, Some(block)) => block.lines.push(line.clone()),
                (None, None) if line.starts_with('#') => heading = line.trim_start_matches(['#', ' ']).to_owned(),
                (None, None) => {}
            }
        }
        blocks
    }

    /// The lines of every block of a kind.
    #[must_use]
    pub fn lines_of(&self, kind: &str) -> Vec<String> {
        self.blocks().into_iter().filter(|block| block.kind == kind).flat_map(|block| block.lines).collect()
    }

    /// The rows of the tables whose first column has this heading, cell by cell.
    #[must_use]
    pub fn rows(&self, first_column: &str) -> Vec<Vec<String>> {
        let (mut rows, mut inside) = (Vec::new(), false);
        for line in &self.0 {
            let Some(line) = line.strip_prefix('|') else {
                inside = false;
                continue;
            };
            let cells = cells(line);
            if inside && !line.starts_with("---") {
                rows.push(cells);
            } else if !inside {
                inside = cells[0] == first_column;
            }
        }
        rows
    }

    /// The paragraph that begins with a bold word, `**Reply.** …`, without that word.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn paragraph(&self, word: &str) -> String {
        let start = format!("**{word}.**");
        let lines = self.0.iter().skip_while(|line| !line.starts_with(&start)).take_while(|line| !line.is_empty());
        let text: Vec<&str> = lines.map(|line| line.trim_start_matches(&start).trim()).collect();
        assert!(!text.is_empty(), "no paragraph {start}");
        text.join(" ")
    }
}

/// The cells of a table's row, whose `\|` is no border.
fn cells(row: &str) -> Vec<String> {
    const BAR: &str = "\u{1}";
    let row = row.replace("\\|", BAR);
    let row = row.strip_suffix('|').unwrap_or(&row);
    row.split('|').map(|cell| cell.replace(BAR, "|").trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document(text.lines().map(str::to_owned).collect())
    }

    #[test]
    fn sections_blocks_tables_and_paragraphs_are_found() {
        let text = "# Title\n## One\n**Reply.** an\n  integer\n\n| a | b |\n|---|---|\n| `x\\|y` | 1 |\n\n| c |\n|---|\n| z |\n\
                    ```lua\ncode\n## no heading\n```\n## Two\n";
        let document = document(text);
        let headings: Vec<String> = document.sections().into_iter().map(|(heading, _)| heading).collect();
        assert_eq!(headings, ["One", "no heading", "Two"].map(str::to_owned));
        let one = document.section("One");
        assert_eq!(one.rows("a"), [["`x|y`", "1"].map(str::to_owned)]);
        assert_eq!(one.paragraph("Reply"), "an integer");
        let blocks = document.blocks();
        assert_eq!((blocks.len(), blocks[0].heading.as_str(), &blocks[0].lines[0]), (1, "One", &"code".to_owned()));
    }
}
