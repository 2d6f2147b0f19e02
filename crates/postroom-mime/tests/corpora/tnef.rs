//! TNEF streams of an open corpus beside the repository, against the lists of files that come with
//! it.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use postroom_mime::Tnef;
use postroom_mime::open_tnef;

use crate::place::find;

fn corpus() -> Option<PathBuf> {
    find("tnef-verdammelt/tests/files")?;
    find(STREAMS)?;
    find("")
}

const STREAMS: &str = "mimekit/UnitTests/TestData/tnef";

fn streams(corpus: &Path) -> PathBuf {
    corpus.join(STREAMS)
}

fn open(corpus: &Path, stem: &str) -> Option<Tnef> {
    let bytes = fs::read(streams(corpus).join(format!("{stem}.tnef"))).ok()?;
    Some(open_tnef(&bytes).unwrap())
}

fn names(tnef: &Tnef) -> BTreeSet<&str> {
    let files = tnef.attachments.iter();
    files.filter_map(|file| file.name.as_deref()).collect()
}

/// Attachments that the streams hold and the lists leave out.
const UNLISTED: [&str; 5] = [
    "allproductsmar2000.dat",
    "TechlibDEC99-JAN00.doc",
    "TechlibDEC99.doc",
    "TechlibNOV99.doc",
    "generpts.src",
];

#[test]
fn the_attachments_are_those_of_the_lists() {
    let Some(corpus) = corpus() else { return };
    let lists = corpus.join("tnef-verdammelt/tests/files/datafiles");
    let mut count = 0;
    for entry in fs::read_dir(lists).unwrap() {
        let list = entry.unwrap().path();
        let stem = list.file_stem().unwrap().to_str().unwrap();
        let Some(tnef) = open(&corpus, stem) else {
            // There is a list, but no stream.
            continue;
        };
        // The lists name bodies as files as well.
        let want = fs::read_to_string(&list).unwrap();
        let (bodies, want): (BTreeSet<_>, BTreeSet<_>) =
            want.lines().partition(|name| name.starts_with(&format!("{stem}-body.")));
        let mut got = names(&tnef);
        got.retain(|name| !UNLISTED.contains(name));
        assert_eq!(got, want, "{stem}");
        for body in bodies {
            assert!(tnef.html.is_some() || tnef.text.is_some() || tnef.rtf.is_some(), "{body}");
            assert!(tnef.html.is_some() || !body.ends_with(".html"), "{body}");
        }
        count += 1;
    }
    assert!(count >= 14, "{count}");
}

#[test]
fn contents_are_those_of_the_files() {
    let Some(corpus) = corpus() else { return };
    for (stem, names) in [("one-file", &["AUTHORS"][..]), ("two-files", &["AUTHORS", "README"])] {
        let tnef = open(&corpus, stem).unwrap();
        for (file, name) in tnef.attachments.iter().zip(names) {
            let want = fs::read(streams(&corpus).join(stem).join(name)).unwrap();
            assert!(file.content == want, "{stem}: {name}");
        }
    }
    let html =
        fs::read_to_string(corpus.join("tnef-verdammelt/tests/cmdline/body-test.html.baseline"));
    assert_eq!(open(&corpus, "body").unwrap().html.unwrap(), html.unwrap());
}

#[test]
fn streams_without_a_list() {
    let Some(corpus) = corpus() else { return };
    let table: [(&str, &[&str]); 3] = [
        ("attachments", &["bookmark.htm", "zappa_av1.jpg"]),
        ("panic", &["image001.jpg", "image002.jpg", "image003.png"]),
        ("winmail", &["Untitled Attachment"]),
    ];
    for (stem, want) in table {
        let tnef = open(&corpus, stem).unwrap();
        assert_eq!(names(&tnef), want.iter().copied().collect(), "{stem}");
        assert!(tnef.html.is_some() || tnef.text.is_some(), "{stem}");
    }
}
