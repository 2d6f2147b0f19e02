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
        ("<!--[if !mso]><!--><img src=\"cid:a\"><!--<![endif]-->", &["cid:a"]),
        ("<!--><img src=cid:a><!-- --!><img src=cid:b>",        &["cid:a", "cid:b"]),
        ("<!-- <img src=cid:a>",                               &[]),
        ("<a href='?a=1&copy=2&amp;b'>",                       &["?a=1&copy=2&b"]),
        ("<img src=\"cid:caf&eacute;\">",                      &["cid:café"]),
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
        ("a < b <br>c",                                        "a < b\nc"),
        ("<script>no</script>yes<!-- no -->",                  "yes"),
        ("one <b> two</b>\r\n three&nbsp;four",                 "one two three\u{a0}four"),
        ("<pre>a  b\r\n c</pre>d  e",                          "a  b\n c\nd e"),
        ("a<br><br><br>b",                                     "a\n\nb"),
        // Comments end as in browsers, and are never text.
        ("<!-->a<!--->b<!-- no --!>c<!-- no -- > no --->d",    "abcd"),
        ("<!--[if mso]>no<![endif]-->yes",                     "yes"),
        ("<!--[if !mso]><!-->yes<!--<![endif]-->, yes",        "yes, yes"),
        ("<![if !mso]>yes<![endif]>",                          "yes"),
        ("yes<!-- no",                                         "yes"),
        ("yes<!--[if mso]>no",                                 "yes"),
        // A head that is not closed, titles that hold tags, content that is no markup.
        ("<head><meta charset=x><title>no <b>no</title><p>yes", "yes"),
        ("<head><title>no</title>yes",                         "yes"),
        ("<style>no</styles></style >yes<template>no</template>", "yes"),
        ("<iframe><p>no</iframe>yes",                          "yes"),
        // Blocks of any name.
        ("<center>a</center><article>b</article><figcaption>c", "a\nb\nc"),
        ("<dl><dt>a<dd>b</dl><address>c</address><h6>d</h6>e",  "a\nb\nc\nd\ne"),
        ("a<unknown>b</unknown>c",                             "abc"),
        // References to characters.
        ("Caf&eacute; &Agrave; s&oelig;ur &scaron; &alpha; &permil; &frac12; &sup2; &micro;", "Café À sœur š α ‰ ½ ² µ"),
        ("&#146;&#147;&#148;&#150;&#128;&#x80;&#8217;&#x2019;&#X20ac;", "’“”–€€’’€"),
        ("&eacute&Eacute;&copy2026 &amp;amp; &CounterClockwiseContourIntegral;", "éÉ©2026 &amp; ∳"),
        ("&#0;&#xD800;&#99999999999;&#; &; & &x",              "\u{fffd}\u{fffd}\u{fffd}&#; &; & &x"),
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
        (b"<?xml version='1.0' encoding='big5'?><p>",          Some("big5")),
        (b"<?xml encoding='big5'?><meta\ncharset=\ngbk>",      Some("gbk")),
        (b"<p>charset=x",                                      None),
        (b"<!-- <meta charset=big5> --><meta charset=gbk>",    Some("gbk")),
        (b"<!--><meta charset=big5><!-- --><meta charset=gbk>", Some("big5")),
        (b"<!-- <meta charset=gbk>",                           None),
        (b"<!--[if mso]><?xml encoding='gbk'?><![endif]-->",   None),
        (b"<metadata charset=big5><meta charset=gbk>",         Some("gbk")),
    ];
    for (html, want) in table {
        assert_eq!(charset(html).as_deref(), *want, "{}", html.escape_ascii());
    }
}

#[test]
fn hostile_html_costs_only_its_size() {
    for piece in [
        "<div>", "<!--", "<a b=\"", "<a b='", "</", "<style>", "&#x", "&#1", "&", "&am", "<a ",
        "<", "url(", "<title>", "</title", "<!-->", "--", "<!--[if ",
    ] {
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

#[test]
fn content_ids_get_other_addresses_wherever_they_stand() {
    let shown = |html: &str| {
        let address = |id: &str| Ok::<_, ()>((id == "a@b" || id == "a&b").then(|| "/x".to_owned()));
        with_addresses(html, address).unwrap()
    };
    #[rustfmt::skip]
    let table = [
        ("<img src=\"cid:a@b\">",                   "<img src=\"/x\">"),
        ("<img src=CID:a@b>",                        "<img src=/x>"),
        ("<img src='cid:a@b'><img src=' cid:a@b '>", "<img src='/x'><img src=' /x '>"),
        ("<img srcset='cid:a@b 1x, cid:a@b 2x'>",    "<img srcset='/x 1x, /x 2x'>"),
        ("<p style='background:url(cid:a@b)'>",      "<p style='background:url(/x)'>"),
        ("<style>p{background:url(\"cid:a@b\")}",    "<style>p{background:url(\"/x\")}"),
        ("<img src='cid:a&amp;b'>",                  "<img src='/x'>"),
        ("<img src='cid:c@d'>cid:",                  "<img src='cid:c@d'>cid:"),
        ("acid:a@b x-cid:a@b ücid:a@b",              "acid:a@b x-cid:a@b ücid:a@b"),
        ("cid:cid:a@b",                              "cid:cid:a@b"),
        ("ü:cid:a@b",                                "ü:/x"),
    ];
    for (html, want) in table {
        assert_eq!(shown(html), want, "{html}");
    }
    assert_eq!(with_addresses("cid:a", |_| Err::<Option<String>, _>(7)), Err(7));
}
