//! Gives a content id to inline files without one, and changes the html to refer to it.
//!
//! If the name of a file is a valid content id, it is used (`cid:logo.png`). Other files, such as
//! those with a blank in the name, are found in the html by their name, plain or percent-encoded.

use postroom_mime::compose::Draft;

/// Gives each inline file of a draft a content id.
pub(crate) fn name(draft: &mut Draft) {
    let domain = draft.message_id.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    let domain = domain.to_owned();
    for (at, inline) in draft.inlines.iter_mut().enumerate() {
        if inline.content_id.is_some() {
            continue;
        }
        let id = format!("inline{}@{domain}", at + 1);
        if let Some(html) = &mut draft.html {
            for form in forms(&inline.name) {
                *html = referring(html, &form, &id);
            }
        }
        inline.content_id = Some(id);
    }
}

/// The forms in which html may name a file, longest first.
fn forms(name: &str) -> Vec<String> {
    let escaped = name.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
    let blanks = name.replace(' ', "%20");
    let mut percent = String::new();
    let mut lower = String::new();
    for char in name.chars() {
        if char.is_ascii_alphanumeric() || "-._~".contains(char) {
            percent.push(char);
            lower.push(char);
        } else {
            for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                percent.push_str(&format!("%{byte:02X}"));
                lower.push_str(&format!("%{byte:02x}"));
            }
        }
    }
    let mut forms = vec![name.to_owned(), escaped, blanks, percent, lower];
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.dedup();
    forms
}

/// The html in which each `cid:` with `form`, in upper or lower case, refers to `id`.
fn referring(html: &str, form: &str, id: &str) -> String {
    const SCHEME: &str = "cid:";
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = find_scheme(rest) {
        let (before, from) = rest.split_at_checked(at + SCHEME.len()).unwrap_or((rest, ""));
        out.push_str(before);
        rest = from;
        let Some(behind) = from.strip_prefix(form) else {
            continue;
        };
        let ends = behind.chars().next().is_none_or(|next| {
            next.is_whitespace() || matches!(next, '"' | '\'' | ')' | '>' | '<' | '&' | ',' | ';')
        });
        if ends {
            out.push_str(id);
            rest = behind;
        }
    }
    out.push_str(rest);
    out
}

fn find_scheme(text: &str) -> Option<usize> {
    let mut bytes = text.as_bytes().windows(4);
    bytes.position(|window| window.eq_ignore_ascii_case(b"cid:"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_mime::compose::DraftFile;
    use postroom_mime::compose::FileContent;

    #[test]
    fn html_follows_the_content_id_that_a_file_gets() {
        let file = |name: &str, content_id: Option<&str>| DraftFile {
            name: name.to_owned(),
            media_type: "image/png".to_owned(),
            content_id: content_id.map(str::to_owned),
            content: FileContent::Elsewhere { size_bytes: 1 },
        };
        let html = "<img src=\"cid:my logo.png\"><img src='CID:my%20logo.png'> cid:my logo.pngx
            url(cid:gr%c3%bcn.png) <a href=cid:kept.png> acid:test";
        let mut draft = Draft {
            message_id: "1@b.test".to_owned(),
            html: Some(html.to_owned()),
            inlines: vec![
                file("my logo.png", None),
                file("grün.png", None),
                file("kept.png", Some("kept.png")),
            ],
            ..Draft::default()
        };
        name(&mut draft);
        let want = "<img src=\"cid:inline1@b.test\"><img src='CID:inline1@b.test'> cid:my logo.pngx
            url(cid:inline2@b.test) <a href=cid:kept.png> acid:test";
        assert_eq!(draft.html.as_deref(), Some(want));
        let ids: Vec<_> = draft.inlines.iter().map(|it| it.content_id.as_deref()).collect();
        assert_eq!(ids, [Some("inline1@b.test"), Some("inline2@b.test"), Some("kept.png")]);
    }
}
