//! References of html to the parts of a message.

use super::*;
use proptest::prelude::*;

fn found(html: &str) -> Vec<String> {
    let mut found = vec![];
    references(html, |url| found.push(url.to_owned()));
    found
}

#[test]
fn references_stand_in_attributes_and_styles() {
    #[rustfmt::skip]
    let table: &[(&str, &[&str])] = &[
        ("<img src=\"cid:a@b\">",                              &["cid:a@b"]),
        ("<IMG alt=x SRC = 'cid:a&amp;b' >",                   &["cid:a&b"]),
        ("<img src=cid:a@b/>",                                 &["cid:a@b/"]),
        ("<td background=\"cid:a\" style='background: url(\"cid:b\")'>", &["cid:a", "cid:b"]),
        ("<style>a{background:url( cid:a )} @import 'b.css';</style>", &["cid:a", "b.css"]),
        ("<img srcset=\"a.png 1x, b.png 2x\">",                &["a.png", "b.png"]),
        ("<!-- <img src=cid:a> -->",                           &[]),
        ("<!--[if mso]><v:imagedata src=\"cid:a\"><![endif]-->", &["cid:a"]),
        ("cid:a <b>cid:b</b> <script>src='cid:c'</script>",    &[]),
        ("<img alt=\"a > b\" src=x",                           &["x"]),
        ("<img src=\"x",                                       &["x"]),
        ("<v:fill foo=\"cid:a\">",                             &["cid:a"]),
    ];
    for (html, want) in table {
        assert_eq!(found(html), *want, "{html}");
    }
}

#[test]
fn text_is_what_is_shown() {
    #[rustfmt::skip]
    let table = [
        ("<p>one</p><p>two &amp; &#8364; &unknown;</p>",       "one\ntwo & € &unknown;\n"),
        ("<head><title>no</title><style>p{}</style></head><body>yes", "yes"),
        ("a < b <br>c",                                        "a < b \nc"),
        ("<script>no</script>yes<!-- no -->",                  "yes"),
        ("",                                                   ""),
    ];
    for (html, want) in table {
        assert_eq!(text(html, 1000), want, "{html}");
    }
}

#[test]
fn a_meta_element_names_the_charset() {
    #[rustfmt::skip]
    let table: &[(&[u8], Option<&str>)] = &[
        (b"<meta charset=\"UTF-8\">",                          Some("utf-8")),
        (b"<META HTTP-EQUIV='Content-Type' content='text/html; charset=koi8-r'>", Some("koi8-r")),
        (b"<meta name=x><meta charset=gbk/>",                  Some("gbk")),
        (b"<p>charset=x",                                      None),
    ];
    for (html, want) in table {
        assert_eq!(charset(html).as_deref(), *want, "{}", html.escape_ascii());
    }
}

#[test]
fn hostile_html_costs_only_its_size() {
    for piece in ["<div>", "<!--", "<a b=\"", "<a b='", "</", "<style>", "&#x", "<a ", "<", "url("]
    {
        let html = piece.repeat(20_000);
        found(&html);
        found(&format!("<style>{html}"));
        let _ = text(&html, usize::MAX);
    }
}

proptest! {
    #[test]
    fn any_text(html in "(<|>|/|!--|-->|style|script|a|=|\"|'|&|#|x|url\\(|\\PC){0,60}") {
        found(&html);
        found(&format!("<style>{html}"));
        let _ = (text(&html, 1000), charset(html.as_bytes()));
    }
}
