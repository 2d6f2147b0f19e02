//! Hostile and ordinary html.

use super::*;
use std::fmt::Write;

#[test]
fn what_is_hostile_is_gone() {
    let table = [
        "<script>alert(1)</script>",
        "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
        "<img src=x onerror=alert(1)>",
        "<svg><script>alert(1)</script></svg>",
        "<svg onload=alert(1)><a xlink:href=javascript:alert(1)><text>x</text></a></svg>",
        "<math><mi xlink:href=\"javascript:alert(1)\">x</mi></math>",
        "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
        "<form action=https://evil.example><input name=a><button formaction=x>x</button></form>",
        "<iframe src=https://evil.example></iframe><frame src=x><embed src=x><object data=x></object>",
        "<base href=https://evil.example><meta http-equiv=refresh content='0;url=https://evil.example'>",
        "<link rel=stylesheet href=https://evil.example/a.css>",
        "<style>@import 'https://evil.example/a.css'; p{background:url(https://evil.example/p)}</style>",
        "<a href=\"javascript:alert(1)\">x</a><a href=\"java\nscript:alert(1)\">x</a>",
        "<a href=\" &#1; javascript:alert(1)\">x</a><a href='vbscript:x'>x</a>",
        "<a href=\"data:text/html,<script>alert(1)</script>\">x</a>",
        "<img src=\"data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIj4=\">",
        "<img src=https://evil.example/p.gif><img src=//evil.example/p.gif><img src=/p.gif>",
        "<img srcset='https://evil.example/p.gif 1x'><picture><source srcset=//evil.example></picture>",
        "<table background=https://evil.example/p.gif><td background=//evil.example/p>x</table>",
        "<body background=https://evil.example/p.gif onload=alert(1)>",
        "<p style=\"background:url(https://evil.example/p)\">x",
        "<p style=\"background:u\\72l(https://evil.example/p)\">x",
        "<p style=\"background:URL( 'https://evil.example/p' )\">x",
        "<p style=\"background:url(cid:a),url(https://evil.example/p)\">x",
        "<p style=\"background-image:image-set('https://evil.example/p' 1x)\">x",
        "<p style=\"background:-webkit-image-set(url(https://evil.example/p) 1x)\">x",
        "<p style=\"width:expression(alert(1))\">x<p style=\"behavior:url(x.htc)\">x",
        "<p style=\"position:fixed;top:0;left:0;z-index:9\">x",
        "<p style=\"color:red;background:url('https://evil.example/;color:red')\">x",
        "<p style=\"content:'a;b';background:url(https://evil.example/p)\">x",
        "<p style='font-family:\"a;background:url(https://evil.example/p);\"'>x",
        "<video src=https://evil.example/v poster=https://evil.example/p></video>",
        "<audio src=https://evil.example/a autoplay></audio><bgsound src=https://evil.example/b>",
        "<input type=image src=https://evil.example/p><isindex action=javascript:alert(1)>",
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">",
        "<!--[if mso]><img src=https://evil.example/p.gif><![endif]-->",
        "<a href=x id=body name=body class=c ping=https://evil.example>x</a>",
        "<template><script>alert(1)</script></template><xmp><script>alert(1)</script></xmp>",
        "<select><option><img src=x onerror=alert(1)></select><textarea><script>alert(1)</script>",
        "<plaintext><script>alert(1)</script>",
        "<img src=\"cid:a\" src=\"https://evil.example/p\"><img src='cid&colon;x' onload=x>",
    ];
    #[rustfmt::skip]
    let words = [
        "<script", "evil.example", " onerror", " onload", "javascript:", "vbscript:", "<form", "<input",
        "<button", "<iframe", "<object", "<embed", "<base", "<meta", "<link", "<style", "<svg", "<math",
        "<video", "<audio", "position", "z-index", "expression", "behavior", " id=", " name=", " class=",
        " ping", "srcset", "image-set", "text/html", "svg+xml", "u\\72l", "src=\"/", "<template",
    ];
    for html in table {
        let shown = clean(html, false).unwrap().to_ascii_lowercase();
        // Text that speaks of tags is no tag.
        let found = words.iter().find(|word| shown.contains(**word));
        assert_eq!(found, None, "{html} is {shown}");
        assert_eq!(
            clean(&shown, false).unwrap().to_ascii_lowercase(),
            shown,
            "it is clean: {html}"
        );
    }
}

#[test]
fn what_mail_looks_like_stays() {
    #[rustfmt::skip]
    let table = [
        ("<p>Hello <b>you</b></p>",                          "<p>Hello <b>you</b></p>"),
        ("<html><head><title>T</title></head><body>x</body>", "x"),
        ("<p style=\"color:#ff0000;position:fixed\">x</p>",  "<p style=\"color:#ff0000\">x</p>"),
        ("<p style=\"color:rgb(1,2,3)\">x</p>",              "<p style=\"color:rgb(1, 2, 3)\">x</p>"),
        ("<img src=\"cid:a@b\" width=\"7\">",                "<img src=\"cid:a@b\" width=\"7\">"),
        ("<img src=\"data:image/png;base64,AA==\">",         "<img src=\"data:image/png;base64,AA==\">"),
        ("<a href=\"https://shop.example/\">x</a>",          "<a href=\"https://shop.example/\" rel=\"noopener noreferrer\">x</a>"),
        ("<a href=\"mailto:a@b.example\" target=_top>x</a>", "<a href=\"mailto:a@b.example\" target=\"_blank\" rel=\"noopener noreferrer\">x</a>"),
        ("<font color=\"red\" size=\"2\">x</font>",          "<font color=\"red\" size=\"2\">x</font>"),
        ("<table bgcolor=\"#fff\" cellpadding=\"0\"><tbody><tr><td width=\"9\">x</td></tr></tbody></table>",
         "<table bgcolor=\"#fff\" cellpadding=\"0\"><tbody><tr><td width=\"9\">x</td></tr></tbody></table>"),
    ];
    for (html, want) in table {
        assert_eq!(clean(html, false).unwrap(), want, "{html}");
    }
}

#[test]
fn pictures_from_elsewhere_are_kept_where_asked_for() {
    #[rustfmt::skip]
    let table = [
        ("<img src=\"https://shop.example/p\">", true),
        ("<img src=\"//shop.example/p\">", false),
        ("<img src=\"ftp://shop.example/p\">", false),
        ("<table background=\"https://shop.example/p\"></table>", true),
        ("<p style=\"background:url(https://shop.example/p)\">x</p>", true),
        ("<p style=\"background:url(//shop.example/p)\">x</p>", false),
        ("<script src=\"https://shop.example/p\"></script>", false),
        ("<iframe src=\"https://shop.example/p\"></iframe>", false),
    ];
    for (html, is_kept) in table {
        let shown = clean(html, true).unwrap();
        assert_eq!(shown.contains("shop.example"), is_kept, "{html}: {shown}");
    }
}

#[test]
fn html_that_becomes_far_more_than_it_is_is_refused() {
    let mut fonts = "<p>".to_owned();
    for number in 0..3000 {
        write!(fonts, "<font color={number}>").unwrap();
    }
    let blown_up = format!("{fonts}{}", "<p>x".repeat(10_000));
    let link = format!("<a href=\"?{}\">", "&b=2".repeat(500_000));
    let long = ["&".repeat(5_000_000), "a & b ".repeat(1_000_000), "<".repeat(5_000_000), link];
    let nested = [blown_up, "<div>".repeat(1_000_000), "<b><p>".repeat(300_000)];
    for html in nested.into_iter().chain(long) {
        let refused = clean(&html, false).unwrap_err();
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
    let usual = ["<p>a & b &nbsp; c".repeat(50_000), "a & b ".repeat(50_000)];
    let short = ["<p>x".repeat(20_000), "x".repeat(1_000_000), "<div>".repeat(2000)];
    for html in short.into_iter().chain(usual) {
        assert!(clean(&html, false).is_ok(), "{}", html.len());
    }
}
