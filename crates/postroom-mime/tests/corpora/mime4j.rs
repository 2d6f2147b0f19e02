//! Messages of an open corpus beside the repository, against the trees of parts and the decoded
//! contents that come with them.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use postroom_mime::Defects;
use postroom_mime::ParserLimits;
use postroom_mime::Slice;
use postroom_mime::structure;
use postroom_mime::structure::MimeEntity;

use crate::place::find;

/// Files where we differ on purpose, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("basic-plain-with-bad-header-separator", "text that no field follows is body, not header"),
    ("hdr-fakeout", "text that no field follows is body, not header"),
    ("malformedHeader-noheader", "without any field everything is body, the first line too"),
    ("malformedHeaderStartsBody-noheader", "without any field everything is body, all lines of it"),
    ("malformedHeaderStartsBody-nocrlfcrlf", "lines among the fields do not end the header"),
    ("multi-frag", "base64 that is cut within a group keeps the bytes that are whole"),
];

/// A leaf whose content is not known.
const ANY_LEAF: &str = "leaf of any content";

/// What a message is made of, as a text: one line per message, multipart and leaf, indented by its
/// depth, a leaf with its content.
#[derive(Default)]
struct Tree {
    lines: Vec<String>,
    depth: usize,
}

impl Tree {
    fn line(&mut self, what: &str) {
        self.lines.push(format!("{}{what}", "  ".repeat(self.depth)));
    }

    fn leaf(&mut self, content: &[u8]) {
        let content = content.escape_ascii().to_string().replace("\\r\\n", "\\n");
        self.line(&format!("leaf {}", content.trim_end_matches("\\n")));
    }

    /// The tree that an XML file describes; the contents are in files of their own.
    fn described(xml: &Path) -> Self {
        let mut tree = Self::default();
        // Not UTF-8, and only the tags are of interest.
        let xml_bytes = fs::read(xml).unwrap();
        let text: String = xml_bytes.iter().map(|byte| char::from(*byte)).collect();
        for tag in text.split('<').skip(1) {
            let tag = tag.split('>').next().unwrap();
            match tag {
                "message" | "multipart" => {
                    tree.line(tag);
                    tree.depth += 1;
                }
                "/message" | "/multipart" => tree.depth -= 1,
                _ if tag.contains("-body name=") => {
                    let name = tag.split('"').nth(1).unwrap();
                    match fs::read(xml.with_file_name(name)) {
                        Ok(content) => tree.leaf(&content),
                        // The corpus has each content once.
                        Err(_) => tree.line(ANY_LEAF),
                    }
                }
                _ => {}
            }
        }
        tree
    }

    /// Whether the trees are the same, as far as this one is known.
    fn is(&self, other: &Self) -> bool {
        let is_same = |(want, got): (&String, &String)| {
            let open = want.strip_suffix(ANY_LEAF);
            want == got || open.is_some_and(|indent| got.starts_with(&format!("{indent}leaf ")))
        };
        self.lines.len() == other.lines.len() && self.lines.iter().zip(&other.lines).all(is_same)
    }

    /// The tree that we find in a message.
    fn message(&mut self, raw: &[u8]) {
        let mut defects = Defects::default();
        let found =
            structure::scan(&mut Slice(raw), &ParserLimits::default(), &mut defects).unwrap();
        self.line("message");
        self.depth += 1;
        let base = self.depth;
        for entity in &found.entities {
            self.depth = base + entity.depth;
            self.entity(entity, raw);
        }
        self.depth = base - 1;
    }

    fn entity(&mut self, entity: &MimeEntity, raw: &[u8]) {
        let range =
            usize::try_from(entity.body.start).unwrap()..usize::try_from(entity.body.end).unwrap();
        let body = || entity.content.encoding.decode(raw.get(range).unwrap());
        match &*entity.content.media_type {
            media_type if media_type.starts_with("multipart/") => self.line("multipart"),
            "message/rfc822" => self.message(&body()),
            _ => self.leaf(&body()),
        }
    }
}

#[test]
fn parts_and_contents_are_those_that_are_described() {
    let Some(corpus) = find("mime4j/core/src/test/resources") else { return };
    let mut count = 0;
    for directory in ["testmsgs", "mimetools-testmsgs"] {
        let entries = fs::read_dir(corpus.join(directory)).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths.iter().filter(|path| path.extension().is_some_and(|end| end == "msg")) {
            let stem = path.file_stem().unwrap().to_str().unwrap();
            let mut got = Tree::default();
            got.message(&fs::read(path).unwrap());
            let want = Tree::described(&path.with_file_name(format!("{stem}_decoded.xml")));
            match DIFFERENT.iter().find(|(name, _)| *name == stem) {
                Some((_, why)) => assert!(!want.is(&got), "{stem} is not different: {why}"),
                None => assert!(
                    want.is(&got),
                    "{stem}\n{}\ninstead of\n{}",
                    got.lines.join("\n"),
                    want.lines.join("\n")
                ),
            }
            count += 1;
        }
    }
    assert!(count >= 80, "{count}");
}
